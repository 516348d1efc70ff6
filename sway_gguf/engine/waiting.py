"""Bounds on threads that wait for each other: llama.cpp's, and those of NumPy's linear algebra. Knows the variables
of OpenMP and OpenBLAS; loads nothing.

After every operation the threads meet at a barrier. Where another program holds a processor, the others spin there for
a whole time slice of the one that was put off, and keep the processor from it: two threads beside two busy programs
are then many times slower than one. With a bound they go to sleep soon and the late one gets its turn.

Our own matrices are factors of adapters, too small to be worth a second thread, of which the waiting costs far more
than the work: a null of rank 64 for 210 modules took 30 s of processor time with two threads beside busy programs, and
0.7 s with one.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

_BOUNDS = (
    ("GOMP_SPINCOUNT", "2000", ("OMP_WAIT_POLICY",)),
    ("KMP_BLOCKTIME", "1", ("OMP_WAIT_POLICY", "KMP_LIBRARY")),
)
"""Variable, bound, and further variables by which a user decides the same: GCC's runtime in turns of its loop (300,000
without), LLVM's and Intel's in milliseconds (200 without). Microsoft's has none, nor has ggml's own pool of threads."""


def bound_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Bound the waiting of the OpenMP runtime that is loaded next; what the user has set wins.

    The runtimes read their environment once, as they are loaded. Child processes inherit the bound.
    """
    for variable, bound, others in _BOUNDS:
        if not any(other in environment for other in others):
            environment.setdefault(variable, bound)


def one_blas_thread(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have NumPy's linear algebra, where it is loaded after this, use one thread; what the user has set wins."""
    if "OMP_NUM_THREADS" not in environment:
        environment.setdefault("OPENBLAS_NUM_THREADS", "1")
