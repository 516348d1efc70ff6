"""How long each batch of a run took, as lines of JSON, and the sums over them. Knows times; not how they were taken."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

from sway_gguf.core.errors import UserError
from sway_gguf.core.json_text import parse_json
from sway_gguf.core.plain import json_text


@dataclass(frozen=True, slots=True)
class BatchTime:
    """One call of llama.cpp.

    Attributes:
        view: that it ran.
        kind: of the queries that it took part in answering; several are joined by +.
        tokens: fed.
        streams: texts side by side.
        seconds: it took.
    """

    view: str
    kind: str
    tokens: int
    streams: int
    seconds: float

    def line(self) -> str:
        """As a line of a trace, without its end."""
        return json_text(asdict(self))


@dataclass(frozen=True, slots=True)
class Total:
    """Batches of one view or one kind taken together."""

    name: str
    batches: int
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace, summed up, slowest first.

    Attributes:
        views, kinds: totals.
        slowest: batches.
        whole: of all batches.
        cut: whether the last line is not whole, as where a run was killed.
    """

    views: tuple[Total, ...]
    kinds: tuple[Total, ...]
    slowest: tuple[BatchTime, ...]
    whole: Total
    cut: bool = False


_BATCH = TypeAdapter(BatchTime)


def read_trace(text: str, where: str, most: int = 10) -> Trace:
    """Sum a trace up.

    Args:
        text: of the file.
        where: its name, for errors.
        most: slowest batches to keep.

    Raises:
        UserError: a line that is none of a trace, or no line at all. The last one may be cut.
    """
    *lines, rest = text.split("\n")
    batches = [_batch(line, f"{where}, line {number}") for number, line in enumerate(lines, 1)]
    if not batches:
        raise UserError(f"{where}: holds no batch; give a file that run --trace wrote")
    return Trace(
        _totals(batches, lambda batch: batch.view),
        _totals(batches, lambda batch: batch.kind),
        tuple(sorted(batches, key=lambda batch: -batch.seconds)[:most]),
        _total("all", batches),
        bool(rest),
    )


def is_trace(text: str) -> bool:
    """Whether the first line of `text` is one of a trace."""
    try:
        return set(json.loads(text.partition("\n")[0]).keys()) == {"view", "kind", "tokens", "streams", "seconds"}
    except (ValueError, AttributeError, RecursionError):
        return False


def _batch(line: str, where: str) -> BatchTime:
    mend = "give a file that run --trace wrote"
    try:
        return _BATCH.validate_python(parse_json(line, where, mend))
    except ValidationError:
        raise UserError(f"{where}: no batch of a trace; {mend}") from None


def _totals(batches: Iterable[BatchTime], name_of: Callable[[BatchTime], str]) -> tuple[Total, ...]:
    groups: dict[str, list[BatchTime]] = {}
    for batch in batches:
        groups.setdefault(name_of(batch), []).append(batch)
    return tuple(sorted((_total(name, group) for name, group in groups.items()), key=lambda total: -total.seconds))


def _total(name: str, batches: list[BatchTime]) -> Total:
    return Total(name, len(batches), sum(b.tokens for b in batches), sum(b.seconds for b in batches))
