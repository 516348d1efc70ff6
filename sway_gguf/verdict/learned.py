"""Content, manner or neither: three contrasts of lift in one sentence. Knows results, not how they were measured.

Likelier than before; likelier than what other text of the form gained; likelier than what the same text gained put
together wrongly. The second is the manner, the third the content.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from sway_gguf.core.measurement import BEYOND, GAP, HELD_OUT, TRAINED
from sway_gguf.core.result import PartResult, ProbeResult, Verdict

MEANINGFUL = 0.2
"""Share of what was gained beyond other text. Where the whole interval lies below it, the rest is what was learned:
a manner, with little content or none."""
_HEART = "It learned its training text by heart, and nothing beyond it"


class Step(StrEnum):
    """How far it came on one kind of text."""

    CONTENT = "content"
    LITTLE = "little"
    MANNER = "manner"
    NEITHER = "neither"
    OPEN = "open"


class _Contrasts(NamedTuple):
    """The three on one kind of text, as far as they were measured."""

    lift: PartResult | None
    beyond: PartResult | None
    mapping: PartResult | None


_HEADS = {
    Step.CONTENT: "It learned the content",
    Step.LITTLE: "It learned the manner, and little of the content",
    Step.MANNER: "It learned the manner, not the content",
    Step.NEITHER: "It learned neither content nor manner",
    Step.OPEN: "Whether it learned the content or the manner alone, this run cannot tell",
}
_UNSEEN = {
    Step.CONTENT: ", of held-out text too",
    Step.LITTLE: "; of held-out text, the manner and little else",
    Step.MANNER: "; of held-out text, the manner alone",
    Step.NEITHER: ", and by heart: nothing of held-out text",
    Step.OPEN: "; of held-out text, this run cannot tell which",
}
_ALIKE = {
    Step.LITTLE: ", of held-out text too",
    Step.MANNER: ", of held-out text too",
    Step.NEITHER: ", nor on held-out text",
    Step.OPEN: "",
}


def learned(lift: ProbeResult | None, mapping: ProbeResult | None) -> str:
    """The sentence, with the numbers behind it; "" where neither was measured.

    Args:
        lift: the probe with the first two contrasts, and those of held-out text.
        mapping: the probe with the third.
    """
    if lift is None or lift.value is None or not lift.parts:
        return ""
    found = {kind: _contrasts(kind, lift, mapping) for kind in (TRAINED, HELD_OUT)}
    steps = {kind: step_of(kind, lift, mapping) for kind, contrasts in found.items() if contrasts.lift}
    told = [f"{kind} text {_numbers(contrasts)}" for kind, contrasts in found.items() if contrasts.lift]
    gap = _part(lift, GAP)
    told += [f"gap {_with_span(gap)}"] if gap else []
    return f"{_head(steps.get(TRAINED, Step.OPEN), steps.get(HELD_OUT))}: {'; '.join(told)} ({lift.unit})."


def step_of(kind: str, lift: ProbeResult, mapping: ProbeResult | None) -> Step:
    """How far it came on text trained on, or on held-out text.

    What a verdict withholds is not claimed here: a probe that did not pass over the whole run shows no content. The
    manner alone is only where the interval leaves no room for content that would matter, and neither only where it
    leaves none for a manner, or the text itself gained no more than under the nulls.
    """
    gained, beyond, content = _contrasts(kind, lift, mapping)
    if gained is None or beyond is None or beyond.above is None:
        return Step.OPEN
    if lift.verdict == Verdict.FAIL:
        return Step.NEITHER
    if not (beyond.above or beyond.value > max(0.0, *beyond.nulls)):
        return Step.OPEN if gained.above and beyond.interval and beyond.interval[1] > 0 else Step.NEITHER
    if not beyond.above or (lift.verdict == Verdict.INCONCLUSIVE and beyond.value == lift.value):
        return Step.OPEN
    if content is None or content.interval is None or mapping is None:
        return Step.OPEN
    if content.interval[1] < MEANINGFUL * beyond.value:
        return Step.LITTLE if content.above else Step.MANNER
    return Step.CONTENT if content.above and mapping.verdict == Verdict.PASS else Step.OPEN


def _contrasts(kind: str, lift: ProbeResult, mapping: ProbeResult | None) -> _Contrasts:
    return _Contrasts(_part(lift, kind), _part(lift, BEYOND[kind]), _part(mapping, kind))


def _part(probe: ProbeResult | None, name: str) -> PartResult | None:
    return next((part for part in probe.parts if part.name == name), None) if probe else None


def _head(trained: Step, unseen: Step | None) -> str:
    if unseen is None:
        return _HEADS[trained]
    if trained == unseen:
        return _HEADS[trained] + _ALIKE.get(unseen, _UNSEEN[unseen])
    if unseen == Step.NEITHER and trained == Step.OPEN:
        return _HEART
    return _HEADS[trained] + _UNSEEN[unseen]


def _numbers(found: _Contrasts) -> str:
    assert found.lift is not None
    parts = [f"{found.lift.value:+.2f}"]
    parts += [f"{_with_span(found.beyond)} beyond other text"] if found.beyond else []
    parts += [f"{_with_span(found.mapping)} beyond the same mismatched"] if found.mapping else []
    return ", ".join(parts)


def _with_span(part: PartResult) -> str:
    span = f" [{part.interval[0]:.2f}, {part.interval[1]:.2f}]" if part.interval else ""
    return f"{part.value:.2f}{span}"
