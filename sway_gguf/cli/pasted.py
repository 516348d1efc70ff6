"""Commands that a user may paste: started as this one was, with words quoted as the system's shell takes them.

Knows how the process was started; runs nothing.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

_NAME = "sway-gguf"


def pasted(*words: str | Path) -> str:
    """This program's command with `words`; a path below the working folder is given from there."""
    shown = [_short(word) if isinstance(word, Path) else word for word in words]
    return _joined([*_started(), *shown])


def _started() -> list[str]:
    """What starts this program from here: its bare name where a shell finds that, and else as it was called."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        python = Path(sys.executable)
        return [python.name if shutil.which(python.name) == str(python) else _short(python), "-m", "sway_gguf"]
    if called.stem != _NAME or _finds(called):
        return [_NAME]
    return [sys.argv[0]]


def _finds(called: Path) -> bool:
    """Whether a shell takes the bare name for the file that was called; Windows calls it without its ending."""
    found = shutil.which(_NAME)
    return found is not None and Path(found).parent.resolve() == called.parent.resolve()


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if here != here.parent and path.is_relative_to(here) else str(path)


def _joined(words: list[str]) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
