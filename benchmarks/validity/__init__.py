"""How often are our verdicts wrong? Adapters whose truth is known, through the product's own path.

`python -m benchmarks.validity --quick` shows in minutes whether it runs; docs/statistics.md has the whole, and every
number there comes from the file of results by this package.
"""

from sway_gguf.engine.waiting import one_blas_thread

one_blas_thread()  # As the command does it, before NumPy is loaded.
