"""Fetches the real model for `make test-real`, or says in one line why its tests are left out: exit code 75 then."""

from __future__ import annotations

import sys

from sway_gguf.artifacts.real_model import fetched
from sway_gguf.core.errors import UserError

LEFT_OUT = 75
"""Told apart from pytest's own codes; the shell's EX_TEMPFAIL."""


def main() -> None:
    """Fetch it."""
    try:
        print(f"on {fetched()}")
    except UserError as error:
        print(f"the tests on a real model are left out: {error}")
        sys.exit(LEFT_OUT)


if __name__ == "__main__":
    main()
