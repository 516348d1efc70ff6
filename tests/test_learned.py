"""The sentence on content and manner says what the contrasts allow, and parts of a measurement are judged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sway_gguf.core.measurement import BEYOND, GAP, HELD_OUT, TRAINED, Item, Measurement, Part
from sway_gguf.core.result import ProbeResult, Verdict
from sway_gguf.core.rules import AboveNull
from sway_gguf.stats.interval import gap_interval
from sway_gguf.verdict.judge import judge
from sway_gguf.verdict.learned import learned
from sway_gguf.verdict.reading import Reading

SPREAD = [0.02 * (n - 5.5) for n in range(12)]
BY_HEART = "its training text passes, held-out text does not"


def around(value: float, times: float = 1.0) -> tuple[float, ...]:
    return tuple(value + times * offset for offset in SPREAD)


def of(values: tuple[float, ...], *parts: Part) -> Measurement:
    return Measurement(sum(values) / len(values), tuple(Item(str(n), v) for n, v in enumerate(values)), parts=parts)


def judged(lift: Measurement, mapping: Measurement | None = None) -> list[ProbeResult]:
    """Both among 19 nulls that scatter about nothing in every part."""

    def still(measured: Measurement, seed: int) -> Measurement:
        off = 0.001 * (seed % 5)
        parts = tuple(replace(p, values=(off,) * 12, less=(0.0,) * len(p.less), controls=()) for p in measured.parts)
        return Measurement(off, parts=parts)

    def reading(name: str, fails: bool, measured: Measurement) -> Reading:
        nulls = tuple(still(measured, seed) for seed in range(19))
        return Reading(name, name, "direction", "nats/token", AboveNull(fails=fails), measured, nulls, 0.0)

    readings = [reading("lift", True, lift)]
    if mapping:
        readings.append(reading("mapping", False, mapping))
    return judge(readings, alpha=0.05)


def lifts(trained: float, unseen: float | None = None) -> Measurement:
    seen = around(trained)
    parts = [Part(TRAINED, seen), Part(BEYOND[TRAINED], seen, instead=BY_HEART if unseen is not None else "")]
    if unseen is None:
        return of(seen, *parts)
    new = around(unseen)
    return of(new, *parts, Part(HELD_OUT, new), Part(BEYOND[HELD_OUT], new), Part(GAP, seen, less=new))


def mapped(trained: float, unseen: float | None = None, times: float = 1.0) -> Measurement:
    seen = around(trained, times)
    beside = [] if unseen is None else [Part(HELD_OUT, around(unseen, times))]
    return of(seen, Part(TRAINED, seen), *beside)


@pytest.mark.parametrize(
    ("lift", "mapping", "says"),
    [
        (lifts(2.0), mapped(1.0), "It learned the content: trained text +2.00"),
        (lifts(2.0), mapped(0.2), "It learned the manner, and little of the content: "),
        (lifts(2.0), mapped(0.0), "It learned the manner, not the content: "),
        (lifts(2.0), mapped(0.3, times=8), "Whether it learned the content or the manner alone, this run cannot tell"),
        (lifts(2.0), None, "Whether it learned the content or the manner alone, this run cannot tell"),
        (lifts(0.0), mapped(0.0), "It learned neither content nor manner: "),
        (lifts(-1.0), mapped(1.0), "It learned neither content nor manner: "),
        (lifts(2.0, 1.8), mapped(1.0, 0.9), "It learned the content, of held-out text too: "),
        (lifts(2.0, 1.8), mapped(1.0, 0.0), "It learned the content; of held-out text, the manner alone: "),
        (lifts(2.0, 1.8), mapped(0.0, 0.0), "It learned the manner, not the content, of held-out text too: "),
        (lifts(2.0, 0.0), mapped(1.0, 0.0), "It learned the content, and by heart: nothing of held-out text: "),
        (lifts(2.0, -1.0), None, "It learned its training text by heart, and nothing beyond it: "),
        (lifts(0.0, 0.0), mapped(0.0, 0.0), "It learned neither content nor manner, nor on held-out text: "),
    ],
)
def test_the_sentence_says_what_the_contrasts_allow(lift: Measurement, mapping: Measurement | None, says: str) -> None:
    found = judged(lift, mapping)
    assert learned(found[0], found[1] if mapping else None).startswith(says)


def test_the_numbers_stand_with_their_intervals() -> None:
    lift, mapping = judged(lifts(2.0, 1.5), mapped(1.0, 0.9))
    text = learned(lift, mapping)
    for part in (*lift.parts[1::2], *mapping.parts):
        assert part.interval is not None
        assert f"{part.value:.2f} [{part.interval[0]:.2f}, {part.interval[1]:.2f}]" in text
    assert "gap 0.50 [" in text
    assert learned(None, mapping) == ""


def test_content_is_not_claimed_where_the_probe_did_not_pass_over_the_run() -> None:
    lift, mapping = judged(lifts(2.0), mapped(1.0))
    text = learned(lift, replace(mapping, verdict=Verdict.WARN))
    assert text.startswith("Whether")


def test_little_content_is_not_denied_where_the_probe_decided_nothing() -> None:
    lift, mapping = judged(lifts(2.0), mapped(0.2))
    assert learned(lift, replace(mapping, verdict=Verdict.INCONCLUSIVE)).startswith("It learned the manner, and little")


def test_text_known_by_heart_alone_warns_and_says_so() -> None:
    found = judged(lifts(2.0, 0.0))[0]
    assert found.verdict == Verdict.WARN
    assert found.reason.startswith(BY_HEART)
    # Of held-out text, open as far as few items tell; nothing of either shows no side.
    assert judged(lifts(2.0, 0.03))[0].verdict == Verdict.WARN
    assert judged(lifts(0.0, 0.0))[0].verdict == Verdict.INCONCLUSIVE
    assert judged(lifts(-1.0, -1.0))[0].verdict == Verdict.FAIL
    # Without a holdout the data's own text decides.
    assert judged(lifts(2.0))[0].verdict == Verdict.PASS


def test_a_part_is_above_only_with_enough_items_and_nulls() -> None:
    whole = judged(lifts(2.0))[0].parts[0]
    assert (whole.above, whole.items, len(whole.nulls)) == (True, 12, 19)
    few = of(around(2.0), Part(TRAINED, (2.0, 2.1, 2.2)))
    assert judged(few)[0].parts[0].above is None


def test_the_gap_is_the_difference_of_two_means_of_either_sign() -> None:
    one, other = [1.0, 2.0, 3.0, 4.0, 5.0], [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    found = gap_interval(one, other)
    assert found is not None
    # Means 3 and 6.5, variances 2.5 and 3.5; standard error √(2.5/5 + 3.5/6) = 1.041 with 8.99 degrees of freedom, for
    # which Student's t is 2.262; neither group is skewed.
    assert found.low < -3.5 < found.high < 0
    assert found.high - found.low == pytest.approx(2 * 2.262 * 1.041, rel=1e-3)
    assert gap_interval([1.0] * 5, [2.0] * 5) == (-1.0, -1.0)
    assert gap_interval(one[:4], other) is None
