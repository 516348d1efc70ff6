"""The candidates of a pick: adapters in files and folders, a trainer's checkpoints by steps, each at its scales.

Knows files and names; measures nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.training_folder import has_adapter, step_of
from sway_gguf.choose.fixed import NOTHING, Fixed
from sway_gguf.core.errors import UserError
from sway_gguf.engine.identity import adapter_digest

MOST = 200
FINAL = "final"
"""Name of what a trainer saves beside its checkpoints when it ends."""
_STEP = re.compile(r"(?:checkpoint|step|iter)[-_]?(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """An adapter that is there.

    Attributes:
        path: a LoRA GGUF or a PEFT folder.
        step: of training, where its name tells.
        folder: of the trainer that wrote it, where it is a checkpoint.
    """

    path: Path
    step: int | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Contender:
    """An adapter at a scale.

    Attributes:
        name: unique among all.
        path: of the adapter.
        scale: λ.
        step: of training, where its name tells.
        place: of the adapter in the order asked.
        size: Frobenius norm of its whole update at this scale.
    """

    name: str
    path: Path
    scale: float
    step: int | None
    place: int
    size: float


def adapters_in(given: Sequence[Path]) -> list[Found]:
    """The adapters that `given` names, each once: files and PEFT folders as they stand, of a trainer's folder its
    checkpoints, of any other the LoRA GGUFs and PEFT folders in it.

    Raises:
        UserError: a folder that holds none.
    """
    found: dict[Path, Found] = {}
    for each in (each for path in given for each in _in(path)):
        found.setdefault(each.path.absolute(), each)
    return [*found.values()]


def is_trainers(path: Path) -> bool:
    """Whether `path` is a folder with `checkpoint-*` folders in it."""
    return path.is_dir() and any(map(_step, _listing(path)))


def _in(path: Path) -> Iterator[Found]:
    if path.is_dir() and (is_trainers(path) or not has_adapter(path)):
        yield from (not is_trainers(path) and _within(path)) or checkpoints(path)
    else:
        yield _named(path)


def _named(path: Path) -> Found:
    step = _STEP.search(path.name)
    return Found(path, int(step[1]) if step else None)


def _within(folder: Path) -> list[Found]:
    """The LoRA GGUFs and PEFT folders in a folder, by steps and names; a base that lies beside them is none."""
    found = [_named(path) for path in _listing(folder) if _is_adapter(path)]
    return sorted(found, key=lambda each: (each.step or 0, each.path.name))


def _listing(folder: Path) -> list[Path]:
    """What lies in a folder; nothing where it cannot be read: `checkpoints` then tells why."""
    with suppress(OSError):
        return [*folder.iterdir()]
    return []


def _is_adapter(path: Path) -> bool:
    """Whether it says so, or what a file is cannot be read: whoever reads it then tells why."""
    if path.is_dir():
        # At step 0 nothing was learned yet.
        return has_adapter(path) and step_of(path) != 0
    if path.suffix.lower() != ".gguf":
        return False
    try:
        return GGUFFile(path).kind == "adapter"
    except UserError:
        return True


def checkpoints(folder: Path) -> list[Found]:
    """A trainer's checkpoints in order of steps, and behind them what it saved at its end.

    Raises:
        UserError: there is none, or the folder cannot be read.
    """
    try:
        steps = sorted((step, each) for each in folder.iterdir() if (step := _step(each)))
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}; give a trainer's output folder") from None
    found = [Found(each, step, folder) for step, each in steps if has_adapter(each)]
    if steps and not found:
        raise UserError(
            f"{folder}: no adapter_config.json in its {len(steps)} checkpoints; only LoRA training leaves adapters"
        )
    if not found:
        raise UserError(f"{folder}: no LoRA GGUF, PEFT folder or checkpoint-* folder in it; give adapters, or the "
                        "folder that the trainer writes its checkpoints to")  # fmt: skip
    return [*found, *([Found(folder, None, folder)] if has_adapter(folder) else [])]


def _step(path: Path) -> int:
    """Of a checkpoint's folder; 0 for anything else, and for step 0, at which nothing was learned yet."""
    return max(0, step_of(path)) if path.is_dir() else 0


def contenders(
    found: Sequence[Found], base: BaseModel, scales: Sequence[float], fixed: Fixed = NOTHING
) -> tuple[list[Contender], list[str]]:
    """A candidate per adapter and scale, and remarks on adapters that are left out: copies of one before them, and of
    those that are loaded in any case.

    Every adapter is read, so that a wrong one is told before anything is measured.

    Raises:
        UserError: one cannot be read or does not fit, there are too many, or none is left.
    """
    if len(found) * len(scales) > MOST:
        raise UserError(f"{len(found)} adapters at {len(scales)} scales are more than {MOST} candidates; give fewer")
    names, kept, remarks = names_of(found), list[Contender](), list[str]()
    seen = loaded_anyway(fixed)
    for place, (each, name) in enumerate(zip(found, names, strict=True)):
        with being_written(each):
            adapter = read_adapter(each.path, base)
        first = seen.setdefault(adapter_digest(adapter), name)
        if first != name:
            remarks.append(copied(name, first))
            continue
        kept += each_scale(each, name, place, adapter, scales)
    if not kept:
        raise none_left(remarks)
    return kept, remarks


@contextmanager
def being_written(found: Found) -> Iterator[None]:
    """Reads it; of a trainer's checkpoint that cannot be read, the error says what may be the matter.

    Raises:
        UserError: as what is done in the block.
    """
    try:
        yield
    except UserError as error:
        if found.folder is None or not str(error).startswith(str(found.path)):
            raise
        raise UserError(f"{error} (a checkpoint that is still being written? --early-stop waits for it)") from None


def loaded_anyway(fixed: Fixed) -> dict[str, str]:
    """What remarks call the adapters that are loaded in any case, by digest."""
    return {digest: f"{name}, which is loaded beside every candidate," for digest, name in fixed.digests.items()}


def copied(name: str, first: str) -> str:
    """The remark on an adapter that is a copy of another."""
    return f"{name} holds the same adapter as {first} and was left out"


def none_left(remarks: Sequence[str]) -> UserError:
    """What ends a pick of copies alone."""
    return UserError(f"no candidate is left: {'; '.join(remarks)}; name the adapters to choose among behind the base")


def each_scale(
    found: Found, name: str, place: int, adapter: LoraAdapter, scales: Sequence[float]
) -> Iterator[Contender]:
    """An adapter's candidates; a scale stands in the name unless it is the only one and 1."""
    size = sum(adapter.update_norm(pair) ** 2 for pair in adapter.pairs) ** 0.5
    for scale in scales:
        called = name if list(scales) == [1.0] else f"{name} at λ={scale:g}"
        yield Contender(called, found.path, scale, found.step, place, size * scale)


def names_of(found: Sequence[Found]) -> list[str]:
    """The shortest end of each path that tells it from all others; a trainer's last word is "final"."""
    paths = [each.path / FINAL if each.path == each.folder else _bare(each.path) for each in found]
    folders = {each.folder for each in found}
    parts = [path.absolute().parts for path in paths]
    if len(folders) == 1:
        short = [own[-1] for own in parts]
        if len(set(short)) == len(short):
            return short
    names = []
    for own in parts:
        count = next((n for n in range(1, len(own)) if sum(other[-n:] == own[-n:] for other in parts) == 1), len(own))
        names.append("/".join(own[-count:]))
    return names


def _bare(path: Path) -> Path:
    """A GGUF's name without its ending."""
    return path.with_suffix("") if path.suffix.lower() == ".gguf" else path


def earliest_first(contender: Contender, *, by_steps: bool) -> tuple[float, float]:
    """Its place among those that are equal: by steps and scale where all have steps, else by the update's size."""
    if by_steps:
        assert contender.step is not None
        return float(contender.step), contender.scale
    return contender.size, float(contender.place)
