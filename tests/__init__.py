"""Tests, and the programs beside them that tests start."""

from sway_gguf.engine.waiting import one_blas_thread

one_blas_thread()  # Before anything loads NumPy, as the command does it; two workers have no processor to spare.
