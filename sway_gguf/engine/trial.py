"""Whether llama.cpp itself loads a base and adapters, tried in a process of its own.

llama.cpp ends its whole process on some files; then that one ends, and its last words are the reason. Weights are
mapped, not read. Knows paths and adapters; not what a refusal means for a verdict. Imports next to nothing, so that
both processes start at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from sway_gguf.artifacts.lora import LoraAdapter

_SECONDS = 600
_PROGRAM = "from sway_gguf.engine.trying import answer; answer()"


class Trial:
    """The other process. It is started at once and gets llama.cpp ready while this one does something else."""

    def __init__(self) -> None:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 (it lasts as long as this object)
        self._process = self._started()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def refusals(self, base: Path, adapters: Sequence[LoraAdapter] = ()) -> list[str]:
        """Why llama.cpp does not load the base, then why not each adapter on it; "" where it does.

        A reason is what llama.cpp said, whole: it may have several lines. Adapters have none of their own where
        already the base is refused.

        Raises:
            UserError: an adapter that lives in memory cannot be written.
        """
        with tempfile.TemporaryDirectory(prefix="sway-gguf-") as folder:
            paths = [_on_disk(adapter, Path(folder) / f"{number}.gguf") for number, adapter in enumerate(adapters)]
            return self._ask([base, *paths])

    def restart(self) -> None:
        """Start another process in the place of this one."""
        self._end()
        self._process = self._started()

    def close(self) -> None:
        """End the process."""
        self._end()
        self._words.close()

    def _ask(self, paths: Sequence[Path]) -> list[str]:
        """One reason per path; a path at which the process ended is left out of a second try."""
        reasons: dict[Path, str] = {}
        while remaining := [path for path in paths if path not in reasons]:
            asked = remaining if remaining[0] == paths[0] else [paths[0], *remaining]
            said = self._said(asked)
            reasons |= zip(asked, said, strict=False)
            if reasons[paths[0]]:
                return [reasons[paths[0]]] + [""] * (len(paths) - 1)
        return [reasons[path] for path in paths]

    def _said(self, paths: Sequence[Path]) -> list[str]:
        """Reasons until all are given, the base is refused, or the process ends, of which the last one tells."""
        process, said = self._process, list[str]()
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Timer(_SECONDS, process.kill)
        late.start()
        try:
            with suppress(OSError, ValueError):  # It ended.
                process.stdin.write(json.dumps([str(path.absolute()) for path in paths]).encode() + b"\n")
                process.stdin.flush()
                while not any(said[:1]) and len(said) < len(paths):
                    said.append(json.loads(process.stdout.readline()))
                return said
            in_time = late.is_alive()
        finally:
            late.cancel()
        code = process.wait()
        said.append(self._last_words(code) if in_time else f"llama.cpp did not load it within {_SECONDS} s")
        self.restart()
        return said

    def _last_words(self, code: int) -> str:
        self._words.seek(0)
        words = self._words.read().decode("utf-8", "replace").strip() or "it gave no reason"
        return f"llama.cpp ended its process (exit {code}): {words}"

    def _started(self) -> subprocess.Popen[bytes]:
        self._words.seek(0)
        self._words.truncate()
        # It finds this very package, wherever this process has it from.
        found_at = os.pathsep.join(place or os.getcwd() for place in sys.path)
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=os.environ | {"GGML_NO_BACKTRACE": "1", "PYTHONPATH": found_at},
        )

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # What it was not told any more is lost.
                if stream is not None:
                    stream.close()


def refusals(base: Path, adapters: Sequence[LoraAdapter] = ()) -> list[str]:
    """Those of a process that tries these files alone; see `Trial.refusals`."""
    with Trial() as trial:
        return trial.refusals(base, adapters)


def _on_disk(adapter: LoraAdapter, path: Path) -> Path:
    if adapter.in_file:
        return adapter.path
    from sway_gguf.artifacts.lora_write import write_lora

    write_lora(adapter, path)
    return path
