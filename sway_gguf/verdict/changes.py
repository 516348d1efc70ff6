"""What changed from one result to another, probe by probe, over the same items. Knows results; no file and no engine.

Items are paired by what was asked, within a probe of the same name and kind.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sway_gguf.core.comparison import ItemChange, Movement, ProbeChange
from sway_gguf.core.measurement import Item, grouped
from sway_gguf.core.result import ProbeResult, SuiteResult
from sway_gguf.stats.contrast import contrast
from sway_gguf.stats.holm import holm
from sway_gguf.stats.paired import Groups, least_p, paired_change

_WORD = re.compile(r"[^\W\d_]{4,}")
_SAID = 3


@dataclass(frozen=True, slots=True)
class Pairs:
    """The items of one probe in two results.

    Attributes:
        items, controls: old and new, in the old order.
        only_old, only_new: items and controls in one alone.
    """

    items: tuple[tuple[Item, Item], ...]
    controls: tuple[tuple[Item, Item], ...]
    only_old: tuple[Item, ...]
    only_new: tuple[Item, ...]

    def side(self, which: int) -> Groups:
        """Values of the old (0) or new (1) result: items, then controls group by group."""
        items = [pair[which].value for pair in self.items]
        return [items, *grouped(pair[which] for pair in self.controls)]


def pairs_of(old: ProbeResult, new: ProbeResult) -> Pairs:
    """Pair items by key, controls by group and key; copies of one item in their order."""
    items, left, more = _paired(old.items, new.items)
    controls, left_too, more_too = _paired(old.controls, new.controls)
    return Pairs(items, controls, left + left_too, more + more_too)


def _paired(
    old: Sequence[Item], new: Sequence[Item]
) -> tuple[tuple[tuple[Item, Item], ...], tuple[Item, ...], tuple[Item, ...]]:
    before, after = _named(old), _named(new)
    both = tuple((item, after[name]) for name, item in before.items() if name in after)
    return (
        both,
        tuple(item for name, item in before.items() if name not in after),
        tuple(item for name, item in after.items() if name not in before),
    )


def _named(items: Sequence[Item]) -> dict[tuple[str, str, int], Item]:
    seen: Counter[tuple[str, str]] = Counter()
    found = {}
    for item in items:
        name = (item.group, item.key)
        found[*name, seen[name]] = item
        seen[name] += 1
    return found


def changes(old: SuiteResult, new: SuiteResult) -> tuple[ProbeChange, ...]:
    """The probes in both, tested over the items in both, corrected over those that have a test.

    The level is the old result's alpha, the seed its seed.
    """
    later = {(probe.name, probe.kind): probe for probe in new.probes}
    raw = [_raw(mine, later[mine.name, mine.kind], old.seed) for mine in old.probes if (mine.name, mine.kind) in later]
    tested = [i for i, change in enumerate(raw) if change.p is not None]
    corrected = dict(zip(tested, holm([p for c in raw if (p := c.p) is not None]), strict=True))
    return tuple(_judged(replace(c, holm_p=corrected.get(i)), old.alpha) for i, c in enumerate(raw))


def _raw(old: ProbeResult, new: ProbeResult, seed: int) -> ProbeChange:
    """All but the movement."""
    pairs, better = pairs_of(old, new), new.better or old.better
    change = ProbeChange(
        old.name,
        old.kind,
        old.axis,
        new.unit or old.unit,
        better,
        old.verdict,
        new.verdict,
        Movement.UNTESTED,
        old=old.value,
        new=new.value,
        old_interval=old.interval,
        new_interval=new.interval,
        floor=max((f for f in (old.noise_floor, new.noise_floor) if f is not None), default=None),
        only_old=tuple(item.label for item in pairs.only_old),
        only_new=tuple(item.label for item in pairs.only_new),
    )
    if old.value is None or new.value is None:
        return replace(change, reason="not measured in both")
    if not (pairs.items and _is_mean(old) and _is_mean(new)):
        return replace(change, delta=new.value - old.value, reason="no mean over items, so there is no test")
    before, after = pairs.side(0), pairs.side(1)
    found = paired_change(before, after, seed=seed)
    rows, regressed, shared = _items(pairs, better, change.floor or 0.0)
    return replace(
        change,
        old=float(contrast(before[0], before[1:])),
        new=float(contrast(after[0], after[1:])),
        delta=found.delta,
        p=found.p,
        interval=None if found.interval is None else (found.interval.low, found.interval.high),
        items=rows,
        regressed=regressed,
        shared=shared,
    )


def _is_mean(probe: ProbeResult) -> bool:
    """Whether the value is the mean of its items, less what its controls gained."""
    if probe.value is None or not probe.items:
        return False
    mean = float(contrast([item.value for item in probe.items], grouped(probe.controls)))
    return math.isclose(probe.value, mean, rel_tol=1e-6, abs_tol=1e-9)


def _items(pairs: Pairs, better: str, floor: float) -> tuple[tuple[ItemChange, ...], int, tuple[str, ...]]:
    """Items, worst change first, how many regressed, and what those share."""
    sign = {"higher": 1.0, "lower": -1.0}.get(better)

    def gain(pair: tuple[Item, Item]) -> float:
        moved = pair[1].value - pair[0].value
        return -abs(moved) if sign is None else sign * moved

    order = sorted(pairs.items, key=gain)
    worse = [pair[0] for pair in order if sign is not None and gain(pair) < -floor]
    rest = [pair[0] for pair in order][len(worse) :]
    rows = tuple(ItemChange(old.key, old.label, old.value, new.value) for old, new in order)
    return rows, len(worse), _shared(worse, rest)


def _shared(these: Sequence[Item], others: Sequence[Item]) -> tuple[str, ...]:
    """What all of these have, and fewer than half of the others; () where there is nothing to tell them from."""
    if len(these) < 2 or not others:
        return ()
    common = set.intersection(*map(_features, these))
    count = Counter(feature for item in others for feature in _features(item))
    telling = [feature for feature in sorted(common) if 2 * count[feature] < len(others)]
    return tuple(sorted(telling, key=lambda feature: count[feature])[:_SAID])


def _features(item: Item) -> set[str]:
    """Its group, what its detail names, the beginning of its label as far as a mark, and its words."""
    found = {f"{name} {value}" for name, value in item.detail.items() if isinstance(value, str) and len(value) < 40}
    if item.group:
        found.add(f"group {item.group}")
    head = re.match(r"[\w.-]+(?=[#/:])", item.label)
    if head:
        found.add(f"section {head.group()}")
    words = _WORD.findall(" ".join((item.label, *item.asked)).lower())
    return found | {f"the word {word!r}" for word in words}


def _judged(change: ProbeChange, alpha: float) -> ProbeChange:
    if change.p is None or change.holm_p is None or change.delta is None:
        return change
    if change.delta == 0.0 or (change.floor is not None and abs(change.delta) <= change.floor):
        movement = Movement.WITHIN_NOISE if change.delta else Movement.UNDETECTED
        return replace(change, movement=movement, reason="no more than rounding makes" if change.delta else "no change")
    if change.holm_p >= alpha:
        few = least_p(len(change.items)) >= alpha
        why = f"{len(change.items)} items are too few to show a change" if few else "no change was detected"
        return replace(change, movement=Movement.UNDETECTED, reason=why)
    up = change.delta > 0
    movement = {"higher": (Movement.WORSE, Movement.BETTER), "lower": (Movement.BETTER, Movement.WORSE)}.get(
        change.better, (Movement.DIFFERENT, Movement.DIFFERENT)
    )[up]
    return replace(change, movement=movement, reason=f"{'up' if up else 'down'} over {len(change.items)} items")
