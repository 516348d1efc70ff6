"""pip install with a sign of life: says every half minute that a long build is still running.

Knows pip and the clock; used by the Makefile, so it must run on a bare Python.
"""

from __future__ import annotations

import subprocess
import sys
import time

_EVERY_SECONDS = 30


def main() -> int:
    """Run `pip install` with the given arguments; its output is shown when it fails."""
    upgrade = [sys.executable, "-m", "pip", "install", "--quiet", "pip>=25.1"]
    command = [sys.executable, "-m", "pip", "install", *sys.argv[1:]]
    for step in (upgrade, command):
        code = _run(step)
        if code:
            return code
    return 0


def _run(command: list[str]) -> int:
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    output = ""
    while True:
        try:
            more, _ = process.communicate(timeout=_EVERY_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"  … still installing after {time.monotonic() - start:.0f} s", flush=True)
            continue
        output += more or ""
        if process.returncode:
            sys.stderr.write(output)
        return process.returncode


if __name__ == "__main__":
    sys.exit(main())
