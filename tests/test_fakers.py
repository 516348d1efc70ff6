"""Adapters that are not what they are held to be, on the real engine: nothing that asks for a direction passes one.

Each is held to the demo's document or to random words: damaged, inverted, over-confident both ways, and trained on
something else. Random rotations of them differ from them as they differ from a good adapter's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.clinic.faults import inverted
from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import read_base
from sway_gguf.core.answers import Embedding, Tokens
from sway_gguf.core.queries import Embed, Split
from sway_gguf.core.result import Diagnosis, ProbeResult, SuiteResult, Verdict
from sway_gguf.core.sections import Material, Paraphrase, Preference, Section
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.read import read_material
from sway_gguf.spec.model import Defaults
from sway_gguf.suite.prepare import default_spec, prepare
from sway_gguf.suite.run import run
from tests.fakers import damaged, fond_of, over_confident, with_head, written

BASE = DEMO / "base.f32.gguf"
SUITE = [
    {"kind": "applied"},
    {"kind": "delta_kl"},
    {"kind": "section_internalization"},
    {"kind": "content"},
    {"kind": "preference_flip"},
    {"kind": "paraphrase_invariance"},
    {"kind": "style_fingerprint", "max_new_tokens": 16},
    {"kind": "adapter_revert", "max_new_tokens": 8},
]
DIRECTION = {str(entry["kind"]) for entry in SUITE[2:]}
ITEMS = 8
MORE = Defaults(prompts=10, nulls=7, items=ITEMS, chunk_chars=300)
FEW = Defaults(prompts=6, nulls=5, items=6, chunk_chars=200)
"""Enough to pass an adapter that learned its document."""
POWERS = {"sharper": 1.6, "flatter": 0.5}
"""Of adapters that multiply every logit."""


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """(base, adapter) by name."""
    folder = tmp_path_factory.mktemp("fakes")
    healthy = read_adapter(DEMO / "healthy.lora.gguf", read_base(BASE))
    headed = with_head(BASE, folder / "headed.gguf")
    return {
        "inverted": (BASE, written(inverted(healthy), folder / "inverted.gguf")),
        "damaged": (BASE, written(damaged(BASE, healthy), folder / "damaged.gguf")),
        "sharper": (headed, written(over_confident(headed, POWERS["sharper"]), folder / "sharper.gguf")),
        "flatter": (headed, written(over_confident(headed, POWERS["flatter"]), folder / "flatter.gguf")),
        "trained on something else": (BASE, DEMO / "healthy.lora.gguf"),
        "forgot its language": (BASE, DEMO / "overtrained.lora.gguf"),
    }


def document() -> Material:
    """What the demo's adapters were trained on."""
    return Material(
        read_material(DEMO / "document.md").sections,
        read_material(DEMO / "preferences.jsonl").preferences,
        read_material(DEMO / "paraphrases.jsonl").paraphrases,
    )


def words() -> Material:
    """Random words of the world; few as chosen, many as rejected, and letters as what was to be learned."""
    rng = random.Random(5)
    known = sorted(set((DEMO / "general.txt").read_text(encoding="utf-8").split()))

    def some(count: int) -> str:
        return " ".join(rng.choice(known) for _ in range(count))

    def letters() -> str:
        return "".join(rng.choice("abcdefghijklmnop ") for _ in range(24))

    return Material(
        tuple(Section(f"s{n}", some(20) if n % 2 else letters() + letters()) for n in range(ITEMS)),
        tuple(Preference(some(5), f" {some(3)}", f" {some(20)}") for _ in range(ITEMS)),
        tuple(Paraphrase(some(5), f" {letters()}", (some(5),)) for _ in range(ITEMS)),
    )


def judged(
    files: tuple[Path, Path],
    material: Material,
    suite: Sequence[Mapping[str, object]] = SUITE,
    holdout: Path | None = None,
    defaults: Defaults = MORE,
) -> SuiteResult:
    spec = default_spec(*files, general=DEMO / "general.txt", holdout=holdout, defaults=defaults, kinds=())
    entries = [{"name": entry["kind"], **entry} for entry in suite]
    prepared = prepare(spec.model_copy(update={"suite": entries}), material)
    with LlamaBackend(*files, prepared.engine) as backend:
        return run(prepared, backend)


def probe_in(found: SuiteResult, kind: str) -> ProbeResult:
    return next(probe for probe in found.probes if probe.kind == kind)


def test_as_many_questions_pass_an_adapter_that_learned_its_document() -> None:
    found = judged((BASE, DEMO / "healthy.lora.gguf"), document(), defaults=FEW)
    passed = {probe.name for probe in found.probes if probe.verdict == Verdict.PASS}
    assert passed >= {"section_internalization", "content", "preference_flip"}
    assert found.diagnosis == Diagnosis.HEALTHY


@pytest.mark.parametrize(
    ("name", "material"),
    [
        ("inverted", document),
        ("inverted", words),
        ("damaged", document),
        ("damaged", words),
        ("sharper", document),
        ("sharper", words),
        ("flatter", document),
        ("flatter", words),
        ("trained on something else", words),
        ("forgot its language", words),
    ],
)
def test_no_direction_passes_for_an_adapter_that_has_none(
    fakes: dict[str, tuple[Path, Path]], name: str, material: Callable[[], Material]
) -> None:
    found = judged(fakes[name], material(), defaults=FEW)
    assert {probe.name for probe in found.probes if probe.axis == "direction"} == DIRECTION
    assert [probe.name for probe in found.probes if probe.name in DIRECTION and probe.verdict == Verdict.PASS] == []
    assert found.diagnosis != Diagnosis.HEALTHY
    if name in POWERS:
        details = probe_in(found, "delta_kl").details
        assert details["power"] == pytest.approx(POWERS[name], abs=0.05)
        assert details["explained_by_power"] > 0.95


LEARNED: Sequence[Mapping[str, object]] = [{"kind": "section_internalization"}, {"kind": "content"}]


def test_a_fondness_for_the_words_of_the_replies_is_no_content(
    fakes: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    """It raises every reply behind any prompt."""
    base = fakes["sharper"][0]
    triples = document().preferences
    with LlamaBackend(base, fakes["sharper"][1]) as backend, backend.as_base() as view:
        asked = [Embed(triple.prompt) for triple in triples] + [Split("x", triple.chosen) for triple in triples]
        found = view.answer(asked)
    direction = np.mean([answer.vector for answer in found if isinstance(answer, Embedding)], axis=0)
    tokens = {token for answer in found if isinstance(answer, Tokens) for token in answer.ids}
    fond = written(fond_of(base, sorted(tokens), direction, 2.0), tmp_path / "fond.gguf")
    sections = tuple(Section(f"s{n}", t.chosen, t.prompt, "completion") for n, t in enumerate(triples))
    content = probe_in(judged((base, fond), Material(sections), LEARNED), "content")
    assert content.details["lift"] > 0.5
    assert content.details["mismatched"] > 0.5
    assert (content.value or 0.0) < 0.1
    assert content.verdict != Verdict.PASS


def test_what_the_healthy_adapter_learned_is_content_and_its_document_alone(tmp_path: Path) -> None:
    general = (DEMO / "general.txt").read_text(encoding="utf-8").split("\n\n")
    kept = tmp_path / "kept.md"
    kept.write_text("\n\n".join(f"## Text {n}\n\n{text}" for n, text in enumerate(general[:6])), encoding="utf-8")
    found = judged((BASE, DEMO / "healthy.lora.gguf"), document(), LEARNED, kept)
    assert found.learned.startswith("It learned the content, and by heart: nothing of held-out text: ")
    assert probe_in(found, "content").verdict == Verdict.PASS
    lift = probe_in(found, "section_internalization")
    assert lift.verdict == Verdict.WARN
    assert lift.reason.startswith("its training text passes, held-out text does not: ")
