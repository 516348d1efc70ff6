"""The spec of the embedded demo. Knows the names of its files."""

from __future__ import annotations

from pathlib import Path

from sway_gguf.material.read import read_material
from sway_gguf.spec.model import Defaults, Engine, Spec
from sway_gguf.suite.prepare import default_spec


def demo_spec(folder: Path, adapter: str) -> Spec:
    """The default suite for one of the demo's adapters, with the demo's own text.

    Args:
        folder: with the demo's files.
        adapter: its name, such as "healthy".
    """
    spec = default_spec(
        folder / "base.f32.gguf",
        folder / f"{adapter}.lora.gguf",
        data=folder / "document.md",
        general=folder / "general.txt",
        defaults=Defaults(prompts=24, chunk_chars=400),
        engine=Engine(),
    )
    preferences = read_material(folder / "preferences.jsonl").preferences
    triples = [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in preferences]
    suite = [entry | ({"triples": triples} if entry["kind"] == "preference_flip" else {}) for entry in spec.suite]
    return spec.model_copy(update={"suite": suite})
