"""The embedded demo: its specs, and its runs side by side. Knows the names of its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.result import SuiteResult
from sway_gguf.engine.counting import counter
from sway_gguf.engine.interrupt import stop_everyone
from sway_gguf.engine.store import AnswerStore
from sway_gguf.material.packaged import REAL
from sway_gguf.material.read import read_material
from sway_gguf.spec.model import Defaults, Spec
from sway_gguf.suite.prepare import Prepared, default_spec
from sway_gguf.suite.run import plan, run
from sway_gguf.suite.visit import tokens_of

_SIDE_BY_SIDE = 2
_REAL_ITEMS = 6
_REAL_OPTIONS = {
    "section_internalization": {"max_controls": 5},
    "content": {"max_sections": 5, "max_controls": 5},
    "calibration_drift": {"items_limit": 24},
}
"""What keeps the real demo to minutes on two processors. Five controls are the fewest that are compared with."""
KINDS = (
    "applied",
    "adapter_health",
    "delta_kl",
    "adapter_ablation",
    "section_internalization",
    "preference_flip",
    "external_perplexity",
)


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
        engine=EngineSettings(parallel=1),  # Its runs go side by side themselves.
        kinds=KINDS,
    )
    preferences = read_material(folder / "preferences.jsonl").preferences[::2]
    triples = [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in preferences]
    suite = [entry | ({"triples": triples} if entry["kind"] == "preference_flip" else {}) for entry in spec.suite]
    return spec.model_copy(update={"suite": suite})


def real_spec(base: Path) -> Spec:
    """What `check` asks of the adapter of a real model that ships with the package, cut to minutes on two processors.

    Args:
        base: the model's file, as it was fetched.
    """
    spec = default_spec(
        base,
        REAL / "seeds.f16.lora.gguf",
        data=REAL / "dialogues.jsonl",
        holdout=REAL / "heldout.jsonl",
        defaults=Defaults(items=_REAL_ITEMS, prompts=_REAL_ITEMS, chunk_chars=400),
    )
    suite = [entry | _REAL_OPTIONS.get(entry["kind"], {}) for entry in spec.suite]
    return spec.model_copy(update={"suite": suite})


def total_tokens(prepared: Mapping[str, Prepared]) -> int:
    """Tokens that all runs will evaluate."""
    total = 0
    for ready in prepared.values():
        with counter(ready.base.path, ready.engine, ready.base.context_length) as count:
            total += sum(tokens_of(plan(ready).every, count).values())
    return total


def run_side_by_side(
    prepared: Mapping[str, Prepared], on_tokens: Callable[[int], None], store: AnswerStore | None = None
) -> dict[str, SuiteResult]:
    """Run several small suites, two at a time on one thread each: two threads on one small model gain less.

    Args:
        prepared: by name.
        on_tokens: called from the runs' threads with the tokens evaluated since the last call.
        store: of answers.
    """

    def one(ready: Prepared) -> SuiteResult:
        with ready.opened(store) as backend:
            return run(ready, backend, lambda view, tokens: on_tokens(tokens))

    with ThreadPoolExecutor(min(_SIDE_BY_SIDE, os.cpu_count() or 1)) as pool:
        futures = {name: pool.submit(one, ready) for name, ready in prepared.items()}
        try:
            return {name: future.result() for name, future in futures.items()}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_everyone()
            raise
