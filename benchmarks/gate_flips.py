"""How often does the gate change its mind on the same files? The demo's adapters, gated again and again by other seeds.

A seed draws other nulls and other items. Prints, for each adapter, the outcomes and the share of runs that differ from
the commonest, with its exact 95% interval: of all outcomes, and of PASS against FAIL alone.

    python benchmarks/gate_flips.py --runs 200
"""

from __future__ import annotations

import argparse
from collections import Counter

from sway_gguf.core.gate import Outcome
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from sway_gguf.spec.options import changed
from sway_gguf.stats.binomial import proportion_interval
from sway_gguf.suite.demo import demo_spec
from sway_gguf.suite.prepare import prepare
from sway_gguf.suite.run import run
from sway_gguf.verdict.gate import decide

KINDS = ("applied", "delta_kl", "section_internalization", "external_perplexity")


def outcomes(adapter: str, runs: int, items: int, first: int = 0) -> Counter[Outcome]:
    """Outcomes of the gate over seeds `first`, `first` + 1 and so on; the model is loaded once."""
    spec = demo_spec(DEMO, adapter)
    spec = spec.model_copy(update={"suite": [entry for entry in spec.suite if entry["kind"] in KINDS]})
    found: Counter[Outcome] = Counter()
    ready = prepare(spec)
    with LlamaBackend(ready.base.path, ready.adapter.path, ready.engine) as backend:
        for seed in range(first, first + runs):
            defaults = changed(spec.defaults, {"seed": seed, "items": items, "prompts": items}, "benchmark")
            result = run(ready.with_defaults(**defaults.model_dump()), backend)
            found[decide(result).outcome] += 1
            print(f"  {adapter} seed {seed}: {result.diagnosis}", flush=True)
    return found


def main() -> None:
    """Print two lines per adapter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--items", type=int, default=8)
    parser.add_argument("--adapters", default="healthy,random")
    options = parser.parse_args()
    for adapter in options.adapters.split(","):
        found = outcomes(adapter, options.runs, options.items)
        print(f"{adapter}: {', '.join(f'{outcome} {count}' for outcome, count in found.most_common())}")
        decided: Counter[Outcome] = Counter(found)
        decided.pop(Outcome.INCONCLUSIVE, None)
        print(f"  differ from the commonest {_share(found)}; PASS against FAIL {_share(decided)}", flush=True)


def _share(found: Counter[Outcome]) -> str:
    total = sum(found.values())
    if not total:
        return "none decided"
    flips = total - max(found.values())
    interval = proportion_interval(flips, total)
    assert interval is not None
    return f"{flips} of {total} ({interval.low:.3f}…{interval.high:.3f})"


if __name__ == "__main__":
    main()
