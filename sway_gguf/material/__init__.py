"""The user's text and ours, read into sections, prompts and chunks. Knows file formats, not models."""
