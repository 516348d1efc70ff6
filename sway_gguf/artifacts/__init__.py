"""Files: GGUF headers, LoRA pairs, null adapters. Knows nothing of the engine that will load them."""
