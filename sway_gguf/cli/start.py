"""Where the installed command starts: Ctrl-C ends it without a traceback even while the command line is imported."""

from __future__ import annotations

import os


def main() -> None:
    """Import the command line and run it."""
    try:
        from sway_gguf.engine.waiting import one_blas_thread

        one_blas_thread()
        from sway_gguf.cli.main import main as run
    except KeyboardInterrupt:
        os._exit(130)
    run()
