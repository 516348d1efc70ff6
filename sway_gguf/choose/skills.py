"""What a candidate does to what the adapters beside it taught: what the probe of sets found, for a pick.

Knows that probe's result and words; measures nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sway_gguf.core.result import ProbeResult, Verdict

KIND = "interaction"
_OPEN = (Verdict.INCONCLUSIVE, Verdict.SKIP, Verdict.ERROR)


class Skills(NamedTuple):
    """What becomes of it beside the candidate.

    Attributes:
        kept: whether each of these adapters surely keeps what it taught.
        gone: why none of that can ship: most of what one taught is surely lost; "" where it is not.
        sentences: all that was found.
        texts: the numbers behind them, text by text.
    """

    kept: bool
    gone: str
    sentences: tuple[str, ...]
    texts: tuple[Mapping[str, Any], ...]


def skills_of(found: ProbeResult, owners: Sequence[str]) -> Skills:
    """Read the probe's result.

    Args:
        found: it.
        owners: names of the adapters whose own text was given. What becomes of the candidate's own is told by what it
            adds.
    """
    about = [check for check in found.checks if check.name in owners]
    gone = next((check.text for check in about if check.fails and not check.passed), "")
    kept = {check.name for check in about if check.passed} - {check.name for check in about if not check.passed}
    notes = [*found.notes, *([found.reason] if found.verdict in _OPEN else [])]
    texts = tuple(found.details.get("texts", ()))
    names = tuple(name for text in texts for name in text["alone"])
    sentences = tuple(_sentence(note, names) for note in dict.fromkeys(notes))
    return Skills(kept == {*owners}, gone, sentences, texts)


def _sentence(note: str, names: tuple[str, ...]) -> str:
    """A note with a capital and a stop; a name that begins it stays as it is."""
    return f"{note if note.startswith(names) else note[:1].upper() + note[1:]}."
