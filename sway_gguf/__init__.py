"""Did a LoRA adapter change a GGUF model, and in the direction you wanted?

Importing the package is cheap: neither llama_cpp nor scipy is loaded until a model or a statistic is needed.
"""

__version__ = "0.1.0"
