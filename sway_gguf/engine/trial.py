"""Whether llama.cpp itself loads a base and adapters, tried in a process of its own.

llama.cpp ends its whole process on some files; then that one ends, and its last words are the reason. Weights are
mapped, not read. Knows paths and adapters; not what a refusal means for a verdict.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.core.errors import EngineError

_SECONDS = 600
_CHILD = "from sway_gguf.engine.trial import answer; answer()"


def refusals(base: Path, adapters: Sequence[LoraAdapter]) -> list[str]:
    """Why llama.cpp does not load the base, then why not each adapter on it; "" where it does.

    A reason is what llama.cpp said, whole: it may have several lines. Adapters have none of their own where already the
    base is refused.

    Raises:
        UserError: an adapter that lives in memory cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="sway-gguf-") as folder:
        paths = [_on_disk(adapter, Path(folder) / f"{number}.gguf") for number, adapter in enumerate(adapters)]
        return _ask([base, *paths])


def _on_disk(adapter: LoraAdapter, path: Path) -> Path:
    if adapter.in_file:
        return adapter.path
    write_lora(adapter, path)
    return path


def _ask(paths: Sequence[Path]) -> list[str]:
    """One reason per path; a path at which the process ended is left out of a second try."""
    reasons: dict[Path, str] = {}
    while remaining := [path for path in paths if path not in reasons]:
        asked = remaining if remaining[0] == paths[0] else [paths[0], *remaining]
        said, last_words = _run(asked)
        reasons |= zip(asked, said, strict=False)
        if len(said) < len(asked):
            reasons[asked[len(said)]] = last_words
        if reasons[paths[0]]:
            return [reasons[paths[0]]] + [""] * (len(paths) - 1)
    return [reasons[path] for path in paths]


def _run(paths: Sequence[Path]) -> tuple[list[str], str]:
    """Reasons until all are given or the process ends, and its last words."""
    command = [sys.executable, "-c", _CHILD, *(str(path.absolute()) for path in paths)]
    # It finds this very package, wherever this process has it from.
    found_at = os.pathsep.join(filter(None, sys.path))
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=_SECONDS,
            env=os.environ | {"GGML_NO_BACKTRACE": "1", "PYTHONPATH": found_at},
        )
    except subprocess.TimeoutExpired as late:
        return _said(late.stdout), f"llama.cpp did not load it within {_SECONDS} s"
    words = done.stderr.decode("utf-8", "replace").strip() or "it gave no reason"
    return _said(done.stdout), f"llama.cpp ended its process (exit {done.returncode}): {words}"


def _said(output: bytes | None) -> list[str]:
    return [json.loads(line) for line in (output or b"").decode().splitlines()]


def answer() -> None:
    """The other process: loads what its arguments name and prints a reason, as JSON, for each."""
    from sway_gguf.engine import llama

    log = _Lines()
    logging.getLogger("sway_gguf.llama").addHandler(log)
    base, *adapters = map(Path, sys.argv[1:])
    try:
        model = llama.Model(base, repack=False)
    except EngineError:
        print(json.dumps(log.taken()), flush=True)
        return
    print(json.dumps(""), flush=True)
    for path in adapters:
        log.taken()
        try:
            model.load_adapter(path)
        except EngineError:
            print(json.dumps(log.taken()), flush=True)
        else:
            print(json.dumps(""), flush=True)
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
