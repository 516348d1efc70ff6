"""The process that `trial.py` starts: it loads what it is told to, and says what llama.cpp said to that.

Its own start is what it takes longest for, so it imports the library and nothing else.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sway_gguf.core.errors import EngineError
from sway_gguf.engine.llama import Model


def answer() -> None:
    """For each line of stdin, a base and adapters, print the reasons why they do not load, as JSON, one a line."""
    log = _Lines()
    logging.getLogger("sway_gguf.llama").addHandler(log)
    for line in sys.stdin:
        for reason in _reasons([*map(Path, json.loads(line))], log):
            print(json.dumps(reason), flush=True)


def _reasons(paths: Sequence[Path], log: _Lines) -> Iterator[str]:
    """That of the base, and unless there is one those of the adapters; "" where there is none."""
    log.taken()
    try:
        model = Model(paths[0], repack=False)
    except EngineError:
        yield log.taken()
        return
    yield ""
    for path in paths[1:]:
        log.taken()
        try:
            model.load_adapter(path)
        except EngineError:
            yield log.taken()
        else:
            yield ""
    model.close()


class _Lines(logging.Handler):
    """Keeps what llama.cpp logs as a warning or an error."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self._lines.append(record.getMessage())

    def taken(self) -> str:
        """All lines since the last call."""
        lines, self._lines = self._lines, []
        return "\n".join(lines)
