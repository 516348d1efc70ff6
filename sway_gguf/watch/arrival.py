"""Whether an adapter is all there: at rest since the last look, and whole by its own header. Knows files, no runs."""

from __future__ import annotations

from pathlib import Path

from sway_gguf.artifacts.digest import Stamp, sha256_of, stamp_of
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.mlx import MLX_WEIGHTS
from sway_gguf.artifacts.peft import WEIGHTS, tensors_of
from sway_gguf.artifacts.peft_config import CONFIG, read_config
from sway_gguf.artifacts.training_folder import adapter_in, has_adapter
from sway_gguf.core.errors import UserError


class Arrival:
    """Looks at one adapter, and tells of each content once.

    Args:
        adapter: a LoRA GGUF, a folder that holds one, or one that checkpoints come to; it need not be there yet.
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
            adapter = adapter_in(self._adapter).folder
            stamp = _stamp(adapter)
            at_rest, self._seen = stamp == self._seen, stamp
            if stamp == self._told or not at_rest:
                self.waits_for = ""
                return ""
            check_whole(adapter)
            digest = sha256_of(adapter)
            if _stamp(adapter_in(self._adapter).folder) != stamp:
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
    if not has_adapter(adapter):
        raise UserError(f"{adapter}: no {CONFIG} in it yet")
    config = read_config(adapter)
    wanted = (MLX_WEIGHTS,) if config.by_mlx else WEIGHTS
    if not any((adapter / name).is_file() for name in wanted):
        raise UserError(f"{adapter}: {'no' if config.by_mlx else 'neither'} {' nor '.join(wanted)} in it yet")
    tensors_of(adapter, by_mlx=config.by_mlx)


def _stamp(adapter: Path) -> Stamp:
    """What changes with every write."""
    return stamp_of(sorted(path for path in adapter.iterdir() if path.is_file()) if adapter.is_dir() else [adapter])
