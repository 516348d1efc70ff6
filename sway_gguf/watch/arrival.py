"""Whether an adapter is all there: at rest since the last look, and whole by its own header. Knows files, no runs."""

from __future__ import annotations

from pathlib import Path

from sway_gguf.artifacts.digest import Stamp, sha256_of, stamp_of
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.peft import WEIGHTS, is_peft
from sway_gguf.artifacts.peft_config import CONFIG, read_config
from sway_gguf.artifacts.tensor_files import read_tensors
from sway_gguf.core.errors import UserError


class Arrival:
    """Looks at one adapter, and tells of each content once.

    Args:
        adapter: a LoRA GGUF or a PEFT folder, which need not be there yet.
    """

    def __init__(self, adapter: Path) -> None:
        self._adapter = adapter
        self._seen: Stamp | None = None
        self._told: Stamp | None = None
        self._digest = ""
        self.waits_for = ""
        """Why there is nothing to test at the last look, in a line; "" where there is no reason."""

    def look(self) -> str:
        """The digest of a content that is whole and another than the last one told; "" where there is none yet."""
        try:
            stamp = _stamp(self._adapter)
            at_rest, self._seen = stamp == self._seen, stamp
            if stamp == self._told or not at_rest:
                self.waits_for = ""
                return ""
            check_whole(self._adapter)
            digest = sha256_of(self._adapter)
            if _stamp(self._adapter) != stamp:
                return ""
        except UserError as error:
            self.waits_for = str(error)
            return ""
        except OSError as error:
            self.waits_for = f"{self._adapter}: {error.strerror or error}"
            return ""
        self.waits_for, self._told = "", stamp
        if digest == self._digest:
            return ""  # Touched, not changed.
        self._digest = digest
        return digest

    def again(self) -> None:
        """Tell of what is there now once more, for it changed while it was tested."""
        self._told, self._digest = None, ""


def check_whole(adapter: Path) -> None:
    """See that every tensor that the header names is there.

    Raises:
        UserError: something is missing or cut short.
    """
    if not adapter.is_dir():
        GGUFFile(adapter)
        return
    if not is_peft(adapter):
        raise UserError(f"{adapter}: no {CONFIG} in it yet")
    read_config(adapter)
    weights = next((path for name in WEIGHTS if (path := adapter / name).is_file()), None)
    if weights is None:
        raise UserError(f"{adapter}: neither {' nor '.join(WEIGHTS)} in it yet")
    read_tensors(weights)


def _stamp(adapter: Path) -> Stamp:
    """What changes with every write."""
    return stamp_of(sorted(path for path in adapter.iterdir() if path.is_file()) if adapter.is_dir() else [adapter])
