"""What Python code and notebooks call: `from sway_gguf import check, run, gate, compare, open_backend, load_result`.

Thin: every function reads its arguments, hands them to the layer that does the work, and wraps what comes back.
"""
