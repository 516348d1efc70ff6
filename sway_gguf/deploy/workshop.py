"""The folder that `quants` works in: one run at a time makes a model there, measures it and removes it.

Knows files, how what was left by an earlier run is met, and where numbers are kept; nothing of what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.digest import size_of
from sway_gguf.artifacts.locks import alone_in
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.whole import sweep
from sway_gguf.core.errors import EngineError, UserError
from sway_gguf.deploy.deployment import Asked, Measured, measured, read, written
from sway_gguf.deploy.merge import TYPES, merge
from sway_gguf.engine.store import AnswerStore
from sway_gguf.suite.prepare import Prepared

Say = Callable[[str], None]
_MADE = re.compile(r"[0-9a-f]{16}-.+\.gguf")
"""Names of what is made here; a folder may hold other models too."""


@dataclass(frozen=True)
class Making:
    """One file to make and measure: what is merged in, what is put on top, by what importance matrix it is quantized.

    `request` says all that it hangs on.
    """

    prepared: Prepared
    asked: Asked
    work: Path
    name: str
    kind: str
    merged_in: LoraAdapter | None
    on_top: Path | None
    request: bytes
    store: AnswerStore
    importance: Path | None = None


@contextmanager
def working_in(work: Path) -> Iterator[None]:
    """Have the folder alone, without what a killed run left in it.

    Raises:
        UserError: it is no folder, cannot be written, or another run works there.
    """
    with ExitStack() as held:
        try:
            work.mkdir(parents=True, exist_ok=True)
            if not held.enter_context(alone_in(work)):
                raise UserError(f"{work}: another quants works in this folder; wait for it, or give another --work")
            for left in work.glob("*.gguf"):
                if _MADE.fullmatch(left.name):
                    left.unlink()
            sweep(work)
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(f"{work}: this is a file, and --work wants a folder; give another") from error
        except OSError as error:
            raise UserError(f"{work}: cannot be worked in ({error.strerror or error}); give another --work") from error
        yield


@contextmanager
def as_file(adapter: LoraAdapter, path: Path) -> Iterator[Path]:
    """The adapter as a GGUF: its own, or for a PEFT folder one at `path` while the block lasts."""
    if adapter.in_file:
        yield adapter.path
        return
    try:
        write_lora(adapter, path)
        yield path
    finally:
        path.unlink(missing_ok=True)


def is_file(kind: str) -> bool:
    """Whether a type is rather a GGUF file that exists already; some programs keep theirs without an ending."""
    return kind.endswith(".gguf") or (kind not in TYPES and Path(kind).is_file())


def files_of(model: str | Path) -> list[Path]:
    """All files of a GGUF, which may be split."""
    return list(read_base(Path(model)).shards)


def kept(making: Making) -> tuple[Measured, int]:
    """What was measured of a file and its size; measured now unless an earlier run has kept it."""
    if (data := making.store.get(making.request)) is not None:
        with suppress(ValueError):
            return read(data, making.asked, with_tuned=making.on_top is not None)
    result = _made_and_measured(making)
    making.store.put(making.request, written(*result))
    return result


def _made_and_measured(making: Making) -> tuple[Measured, int]:
    """Measure a file that is there, or one that is made for it and removed.

    Raises:
        EngineError: it cannot be measured; the type is named.
    """
    given = is_file(making.kind)
    model = Path(making.kind) if given else making.work / f"{making.name}.gguf"
    try:
        if not given:
            merge(
                making.prepared.base.path,
                making.merged_in,
                model,
                kind=making.kind,
                importance=making.importance,
            )
        result = measured(model, making.on_top, making.asked, making.prepared.engine)
        return result, sum(map(size_of, files_of(model)))
    except EngineError as error:
        so_far = "what was measured before it is kept, " if making.store.on else ""
        raise EngineError(f"{making.kind}: {error}; {so_far}--types leaves it out") from error
    finally:
        if not given:
            model.unlink(missing_ok=True)
