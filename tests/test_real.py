"""What only a real instruct model can show, end to end. `make test-real` runs these; they fetch the model once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sway_gguf.artifacts.chat import chat_renderer
from sway_gguf.core.dialogue import ASSISTANT, Dialogue, Turn
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import REAL
from tests.command_line import apart

ADAPTER = REAL / "seeds.f16.lora.gguf"


def dialogues(path: Path) -> list[Dialogue]:
    """Of a JSONL file with `messages`."""
    records = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [Dialogue(tuple(Turn(m["role"], m["content"]) for m in record["messages"])) for record in records]


@pytest.mark.real
def test_the_real_demo_finds_what_the_adapter_learned_and_no_damage(real_base: Path, tmp_path: Path) -> None:
    """With too few nulls for a verdict on noise, which cost the most; what they say is held to all the same."""
    out = tmp_path / "real.json"
    done = apart("demo", "--real", "--nulls", "5", "--json", str(out), timeout=1200)
    assert done.returncode == 0, done.stderr
    assert "More of this one's:\n  sway-gguf check" in done.stdout
    record = json.loads(out.read_text(encoding="utf-8"))
    axes = {axis["axis"]: axis["verdict"] for axis in record["axes"]}
    assert (axes["applied"], axes["survival"]) == ("PASS", "PASS")
    probes = {probe["kind"]: probe for probe in record["probes"]}
    assert (probes["external_perplexity"]["verdict"], probes["ending"]["verdict"]) == ("PASS", "PASS")
    # Eight replies leave an interval that may reach across the tolerance.
    assert probes["everyday_replies"]["verdict"] in ("PASS", "WARN")
    assert probes["everyday_replies"]["value"] > -0.15
    learned = probes["section_internalization"]
    assert learned["value"] > 1.0
    assert learned["value"] > max(learned["null"]["values"])
    assert str(real_base) in {file["path"] for file in record["files"] if file["role"] == "base"}


@pytest.mark.real
def test_the_adapter_lifts_replies_that_it_was_not_trained_on_through_the_models_own_template(real_base: Path) -> None:
    """Its README says by how much in transformers + peft: +1.81 nats per token."""
    template = chat_renderer(real_base)
    assert template is not None
    asked = []
    for dialogue in dialogues(REAL / "heldout.jsonl")[:6]:
        before = template(dialogue.first(len(dialogue.turns) - 1))
        asked.append((before, template(dialogue, opens=False).removeprefix(before).removesuffix("\n")))
    scores = {}
    with LlamaBackend(real_base, ADAPTER, EngineSettings()) as backend:
        for name, opened in (("base", backend.as_base), ("tuned", backend.as_finetuned)):
            with opened() as view:
                scores[name] = [view.logprob_of(*pair) / len(backend.model.tokenize(pair[1])) for pair in asked]
    lifts = [tuned - base for base, tuned in zip(scores["base"], scores["tuned"], strict=True)]
    assert all(pair[1].endswith("<|im_end|>") for pair in asked)
    assert sum(lifts) / len(lifts) == pytest.approx(1.81, abs=0.4)
    assert min(lifts) > 0.5


def test_what_ships_is_small_and_no_question_stands_in_both_files() -> None:
    assert sum(path.stat().st_size for path in REAL.iterdir()) < 1_000_000
    trained, held_out = (
        {turn.content for dialogue in dialogues(REAL / name) for turn in dialogue.turns if turn.role == "user"}
        for name in ("dialogues.jsonl", "heldout.jsonl")
    )
    assert len(held_out) == 24
    assert not trained & held_out
    assert all(d.turns[-1].role == ASSISTANT for d in dialogues(REAL / "dialogues.jsonl"))
