"""Named baselines: results kept as .sway/baselines/NAME.json in the current folder. Knows names and files alone."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from sway_gguf.cli.saving import Output, rescued
from sway_gguf.core.errors import UserError
from sway_gguf.core.names import is_device

if TYPE_CHECKING:
    from sway_gguf.core.result import SuiteResult

FOLDER = Path(".sway", "baselines")
REPLACED = "replaced"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")


def baseline_path(name: str) -> Path:
    """Where the baseline of this name is kept.

    Raises:
        UserError: not a name for a file on every system.
    """
    if not _NAME.fullmatch(name) or is_device(name):
        raise UserError(f"baseline {name!r}: no name for a file; use up to 64 letters, digits, dots, - and _")
    return FOLDER / f"{name}.json"


def baselines() -> list[str]:
    """Names of those that are kept, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read_baseline(name: str) -> SuiteResult:
    """A baseline by name, or any result by its file.

    Raises:
        UserError: neither is there, or it is no result.
    """
    from sway_gguf.core.result_json import read_result

    return read_result(baseline_file(name))


def baseline_file(name: str) -> Path:
    """Where a baseline of this name is kept, or the file that it names.

    Raises:
        UserError: neither is there.
    """
    if _NAME.fullmatch(name) and baseline_path(name).is_file():
        return baseline_path(name)
    if Path(name).is_file():
        return Path(name)
    kept = ", ".join(baselines()) or "none"
    raise UserError(
        f"baseline {name!r}: no file, and not kept in {FOLDER} (there: {kept}); save one with run --save-baseline NAME"
    )


@dataclass(frozen=True)
class BaselineOutput(Output):
    """A baseline to write. What it takes the place of is kept under replaced/."""

    def save(self, text: str) -> None:
        """Write it, and keep what was there.

        Raises:
            UserError: one or the other could not be done; says where the text is.
        """
        path = Path(self.path)
        try:
            if path.is_file() and path.read_bytes() != text.encode():
                _keep(path)
        except OSError as error:
            why = f"what is there cannot be kept under {path.parent / REPLACED} ({error.strerror or error})"
            raise UserError(f"{path}: {why}; {rescued(text, path)}") from error
        super().save(text)


def baseline_output(name: str | None, inputs: Sequence[Path]) -> list[Output]:
    """The output that --save-baseline names, checked, and its folder made; none where it was not given.

    Raises:
        UserError: a wrong name, or it cannot be written.
    """
    if name is None:
        return []
    output = BaselineOutput(baseline_path(name), "--save-baseline", "result", inputs, proposes_force=False)
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{FOLDER}: cannot be made ({error.strerror}); work in another folder") from error
    output.check()
    return [output]


def _keep(path: Path) -> None:
    """Give the file its first free number among those that were replaced."""
    folder = path.parent / REPLACED
    folder.mkdir(exist_ok=True)
    for kept in (folder / f"{path.stem}.{number}.json" for number in count(1)):
        try:
            os.link(path, kept)
        except FileExistsError:
            continue
        except OSError:  # a file system without links, which may say so before it looks whether the file is there
            if kept.exists():
                continue
            kept.write_bytes(path.read_bytes())
        return
