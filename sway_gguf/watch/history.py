"""What was measured of each content: a folder with a result.json per digest, and an index with a line per run.

Knows results and files; not when to run.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from sway_gguf.artifacts.whole import whole
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import read_utf8
from sway_gguf.core.plain import json_text
from sway_gguf.core.result import SuiteResult
from sway_gguf.core.result_json import to_json

INDEX = "index.jsonl"


class History:
    """A folder of results.

    Raises:
        UserError: it cannot be made or written, or its index is none of ours.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be made ({error.strerror or error}); choose another --history") from None
        self.last = self._last()

    def path(self, digest: str) -> Path:
        """Where the result of a content lies."""
        return self.folder / f"{digest[:16]}.json"

    def keep(self, digest: str, result: SuiteResult) -> Path:
        """Write a result and its line.

        Raises:
            UserError: the folder cannot be written.
        """
        path = self.path(digest)
        line = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "adapter": digest,
            "result": path.name,
            "diagnosis": str(result.diagnosis),
            "values": {probe.name: probe.value for probe in result.probes if probe.value is not None},
            "verdicts": {probe.name: str(probe.verdict) for probe in result.probes},
        }
        try:
            with whole(path) as partial:
                partial.write_text(to_json(result), encoding="utf-8", newline="\n")
            with (self.folder / INDEX).open("ab+") as index:
                if _is_cut(index):  # by a kill; it must not take this line with it
                    index.write(b"\n")
                index.write(json_text(line).encode() + b"\n")
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot be written ({error.strerror or error}); choose another --history"
            ) from None
        self.last = line
        return path

    def _last(self) -> dict[str, Any]:
        """The newest whole line; a line that a kill cut short is passed over."""
        index = self.folder / INDEX
        if not index.exists():
            return {}
        lines = read_utf8(index, "an index of results").splitlines()
        for text in reversed(lines):
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and isinstance(line.get("values"), dict):
                return line
        if lines:
            raise UserError(f"{index}: no index of results; give --history another folder")
        return {}


def _is_cut(index: IO[bytes]) -> bool:
    """Whether the last line lacks its end."""
    if not index.seek(0, os.SEEK_END):
        return False
    index.seek(-1, os.SEEK_END)
    return index.read() != b"\n"
