"""Writes what `sway-gguf check` would run as a spec, for the action's gate: BASE, ADAPTER and DATA say of what."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import yaml

from sway_gguf.suite.prepare import quick_suite


def main() -> None:
    """Write the spec to the path that is the one argument."""
    base, adapter, data = (os.environ.get(name, "") for name in ("BASE", "ADAPTER", "DATA"))
    found = {
        "version": 1,
        "models": {
            "base": {"base": os.path.abspath(base)},
            "ft": {"base": os.path.abspath(base), "adapter": os.path.abspath(adapter)},
        },
        "suite": quick_suite(),
    } | ({"data": os.path.abspath(data)} if data else {})
    Path(sys.argv[1]).write_text(yaml.safe_dump(found, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    main()
