"""The user's spec: what to test and how. Knows names and types; neither files' contents nor engine."""
