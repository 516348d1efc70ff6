"""aim: what a change promises on the text of its training, against what that text gained, by hand and on the demo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from sway_gguf.core.answers import Answers, Changes, CompletionScore
from sway_gguf.core.divergence import kl
from sway_gguf.core.measurement import Measurement
from sway_gguf.core.queries import Compare, Completion, NextToken
from sway_gguf.core.result import Verdict
from sway_gguf.core.sections import Section
from sway_gguf.core.views import BASE, TUNED
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.reduce import changes
from sway_gguf.probes.base import Probe, Sources
from sway_gguf.probes.registry import build_probes
from sway_gguf.verdict.judge import judge
from sway_gguf.verdict.reading import Reading


def test_a_model_that_learned_the_texts_law_keeps_what_it_promises() -> None:
    """Of four texts three say the first token. Tuned to ¾ and ¼, KL(p ‖ q) = E log p/q, which the texts gain."""
    found = aim([[0.75, 0.25]] * 4 + [[0.75, 0.25]] * 4, texts=[0, 0, 0, 1] * 2)
    assert found.value == pytest.approx(0.0, abs=1e-6)
    promised = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert mean(found, "promised") == pytest.approx(promised)
    assert mean(found, "lift") == pytest.approx(promised)
    assert verdict(found) == Verdict.PASS


def test_on_the_way_there_a_text_gains_more_than_is_promised() -> None:
    """At 0.6 the sure first token gained ln 1.2, and 0.6 ln 1.2 + 0.4 ln 0.8 was promised."""
    found = aim([[0.6, 0.4]] * 5, texts=[0] * 5)
    assert found.value == pytest.approx(math.log(1.2) - 0.6 * math.log(1.2) - 0.4 * math.log(0.8))
    assert verdict(found) == Verdict.PASS


@pytest.mark.parametrize(("said", "expected"), [(8, Verdict.PASS), (7, Verdict.FAIL)])
def test_a_model_that_is_surer_than_its_text_is_told(said: int, expected: Verdict) -> None:
    """Tuned to 0.8, of ten tokens eight or seven are the likely one: 0.19 and 0.05 nats where 0.19 were promised."""
    tokens = [0] * said + [1] * (10 - said)
    found = aim([[0.8, 0.2]] * 10, texts=[tokens] * 6)
    assert mean(found, "lift") == pytest.approx((said * math.log(1.6) + (10 - said) * math.log(0.4)) / 10)
    assert verdict(found) == expected


def test_less_than_promised_warns_and_less_than_half_fails() -> None:
    """Promised 1 nat: of which 0.9 to 1.1, 0.9 to 0.96, 0.6 to 0.8, and 0.2 to 0.4 came."""
    for gained, off, expected in (
        (1.0, 0.1, Verdict.PASS),
        (0.93, 0.03, Verdict.PASS),
        (0.7, 0.1, Verdict.WARN),
        (0.3, 0.1, Verdict.FAIL),
    ):
        spread = np.linspace(-off, off, 6)
        found = measured([made(back=[1.0], gain=[gained + each]) for each in spread])
        assert verdict(found) == expected
        assert found.value == pytest.approx(gained - 1.0)
    assert "something else" in found.headline


def test_four_sections_are_too_few() -> None:
    assert verdict(measured([made(back=[1.0], gain=[0.0])] * 4)) == Verdict.INCONCLUSIVE


def test_a_reply_counts_and_its_prompt_does_not(demo_backend: LlamaBackend) -> None:
    prompt, reply = "In the town of Tarn the miller", " sells bread to the smith."
    spans = Compare(prompt + reply, ((len(prompt), len(prompt + reply)),))
    with demo_backend.open(TUNED) as view:
        found, scored, after = view.answer([spans, Completion(prompt, reply), NextToken(prompt)])
    with demo_backend.open(BASE) as view:
        (before,) = view.answer([NextToken(prompt)])
    assert isinstance(found, Changes)
    assert isinstance(scored, CompletionScore)
    assert found.other == pytest.approx(scored.logprobs, abs=1e-4)
    assert found.back.shape == found.kl.shape == found.base.shape == found.same_top.shape
    assert found.back[0] == pytest.approx(kl(after, before), abs=1e-4)  # type: ignore[arg-type]
    assert found.kl[0] == pytest.approx(kl(before, after), abs=1e-4)  # type: ignore[arg-type]


def aim(tuned: Sequence[Sequence[float]], texts: Sequence[int | Sequence[int]]) -> Measurement:
    """Measured where the base finds both tokens as likely, and the tuned view as told at each place."""
    found = []
    for number, text in enumerate(texts):
        tokens, rows = ([text], [tuned[number]]) if isinstance(text, int) else (list(text), tuned)
        logits = np.log(np.asarray(rows, np.float32))
        found.append(changes(np.zeros_like(logits), logits, tokens))
    return measured(found)


def mean(found: Measurement, name: str) -> float:
    """Over its items, of a number beside their value."""
    return float(np.mean([item.detail[name] for item in found.items]))


def made(back: Sequence[float], gain: Sequence[float]) -> Changes:
    """A text whose tokens gained so much where so much was promised."""
    return Changes(np.zeros(len(back)), np.array(back), np.ones(len(back), bool), np.zeros(len(back)), np.array(gain))


def measured(found: Sequence[Changes]) -> Measurement:
    """Of as many texts."""
    sections = tuple(Section(f"s{number}", f"text {number}") for number in range(len(found)))
    answers = Answers([(Compare(section.text), one) for section, one in zip(sections, found, strict=True)])
    return probe(sections).measure(Answers([]), answers)


def probe(sections: tuple[Section, ...] = ()) -> Probe[Any]:
    """It, by its defaults."""
    return build_probes([{"name": "aim", "kind": "aim"}], Sources(sections=sections))[0]


def verdict(found: Measurement) -> Verdict:
    """What the judge makes of it."""
    reading = Reading("aim", "aim", "direction", "nats/token", probe().rule, found, (), None)
    return judge([reading], alpha=0.05)[0].verdict
