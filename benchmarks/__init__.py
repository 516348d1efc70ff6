"""Benchmarks, each a module of its own that prints both sides and the ratio; `python -m benchmarks` runs them all."""

from sway_gguf.engine.waiting import one_blas_thread

one_blas_thread()  # As the command does it, before NumPy is loaded.
