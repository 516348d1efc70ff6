"""Files: GGUF headers, LoRA pairs, null adapters. Knows nothing of the engine that will load them."""

from sway_gguf.core.put_off import put_off

put_off("gguf")  # It imports YAML, vocabularies and more, of which nobody here wants anything.
