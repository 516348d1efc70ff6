"""`python -m sway_gguf` is the command `sway-gguf`."""

from __future__ import annotations

from sway_gguf.cli.start import main

if __name__ == "__main__":
    main()
