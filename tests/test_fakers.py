"""Adapters that are not what they are held to be, on the real engine: nothing that asks for a direction passes one.

Each is held to the demo's document or to random words: damaged, inverted, over-confident both ways, and trained on
something else. Random rotations of them differ from them as they differ from a good adapter's.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import read_base
from sway_gguf.core.result import Diagnosis, SuiteResult, Verdict
from sway_gguf.core.sections import Material, Paraphrase, Preference, Section
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.read import read_material
from sway_gguf.spec.model import Defaults
from sway_gguf.suite.prepare import default_spec, prepare
from sway_gguf.suite.run import run
from tests.fakers import damaged, inverted, over_confident, with_head, written

BASE = DEMO / "base.f32.gguf"
SUITE = [
    {"kind": "applied"},
    {"kind": "delta_kl"},
    {"kind": "section_internalization"},
    {"kind": "preference_flip"},
    {"kind": "paraphrase_invariance"},
    {"kind": "style_fingerprint", "max_new_tokens": 16},
    {"kind": "adapter_revert", "max_new_tokens": 8},
]
DIRECTION = {str(entry["kind"]) for entry in SUITE[2:]}
ITEMS = 8


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """(base, adapter) by name."""
    folder = tmp_path_factory.mktemp("fakes")
    healthy = read_adapter(DEMO / "healthy.lora.gguf", read_base(BASE))
    headed = with_head(BASE, folder / "headed.gguf")
    return {
        "inverted": (BASE, written(inverted(healthy), folder / "inverted.gguf")),
        "damaged": (BASE, written(damaged(BASE, healthy), folder / "damaged.gguf")),
        "sharper": (headed, written(over_confident(headed, 1.6), folder / "sharper.gguf")),
        "flatter": (headed, written(over_confident(headed, 0.5), folder / "flatter.gguf")),
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


def judged(files: tuple[Path, Path], material: Material) -> SuiteResult:
    defaults = Defaults(prompts=10, nulls=7, items=ITEMS, chunk_chars=300)
    spec = default_spec(*files, general=DEMO / "general.txt", defaults=defaults, kinds=())
    suite = [{"name": entry["kind"], **entry} for entry in SUITE]
    prepared = prepare(spec.model_copy(update={"suite": suite}), material)
    with LlamaBackend(*files, prepared.engine) as backend:
        return run(prepared, backend)


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
    found = judged(fakes[name], material())
    assert {probe.name for probe in found.probes if probe.axis == "direction"} == DIRECTION
    assert [probe.name for probe in found.probes if probe.name in DIRECTION and probe.verdict == Verdict.PASS] == []
    assert found.diagnosis != Diagnosis.HEALTHY


def test_mere_sharpness_is_told(fakes: dict[str, tuple[Path, Path]]) -> None:
    found = judged(fakes["sharper"], document())
    details = next(probe.details for probe in found.probes if probe.kind == "delta_kl")
    assert details["power"] == pytest.approx(1.6, abs=0.05)
    assert details["explained_by_power"] > 0.95
