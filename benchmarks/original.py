"""The original's suite on transformers and peft against ours on llama.cpp: one model and adapter, equal items, 3 nulls.

Knows how to make a PEFT folder of a LoRA GGUF, and where the other side lives: a Python with torch, transformers, peft
and dlm-sway, this one or the one that --python or SWAY_ORIGINAL_PYTHON names. There the base is dequantized into
float32, once, and each round is a process that times its suite alone, without imports and loading; ours is timed
likewise, in each type of weights. What the original asks of its nulls are four items of its own for each probe, ours
all that the rules of a run want.

    python -m venv other && other/bin/pip install torch transformers peft gguf dlm-sway==0.1.0
    python -m benchmarks.original --python other/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from benchmarks.models import base_of, base_option, of_type, settings_of
from benchmarks.peft_names import MODULES, halves_apart
from benchmarks.sides import Finding, Goal, in_turns, left_out, main, ratio_of
from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.lora import LoraAdapter, Matrix
from sway_gguf.artifacts.peft import heads_of
from sway_gguf.core.result import SuiteResult
from sway_gguf.material.packaged import EXCHANGES, REAL, general_prompts
from sway_gguf.material.records import records
from sway_gguf.spec.model import Defaults, Spec
from sway_gguf.spec.models import Models, ModelSpec
from sway_gguf.suite.prepare import prepare
from sway_gguf.suite.run import run

_GOAL = Goal("≥", 4.0)
_NULLS = 3
_THEIRS = "theirs"
_NEEDED = "torch, transformers, peft, gguf, dlm_sway"
_SIDE = Path(__file__).with_name("original_side.py")


def suite(quick: bool) -> list[dict[str, Any]]:
    """The probes that both sides know, with the same items on both."""
    few, some = (2, 2) if quick else (8, 16)
    prompts = general_prompts()[:few]
    pairs = [(f"{record['request']}\n", str(record["reply"])) for _, record in records(EXCHANGES)]
    turned = [*pairs[1:], pairs[0]]
    triples = [
        {"prompt": ask, "chosen": reply, "rejected": wrong[1]}
        for (ask, reply), wrong in list(zip(pairs, turned, strict=True))[:few]
    ]
    scales = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]
    return [
        {"name": "delta_kl", "kind": "delta_kl", "prompts": prompts},
        {"name": "adapter_ablation", "kind": "adapter_ablation", "prompts": prompts, "lambdas": scales},
        {"name": "calibration_drift", "kind": "calibration_drift", "items": [list(pair) for pair in pairs[: 2 * few]]},
        {"name": "external_perplexity", "kind": "external_perplexity", "max_chunks": some},
        {"name": "preference_flip", "kind": "preference_flip", "triples": triples},
    ]


def write_peft(adapter: LoraAdapter, base: BaseModel, folder: Path) -> None:
    """The adapter as peft has it: names of its modules, and rows of queries and keys in its order."""
    weights: dict[str, Matrix] = {}
    for pair in adapter.pairs:
        _, block, module, _ = pair.module.split(".")
        name = f"base_model.model.model.layers.{block}.{MODULES[module]}"
        heads = heads_of(pair.module, base)
        b = pair.b
        if heads:
            b = halves_apart(b, heads)
        weights[f"{name}.lora_A.weight"] = np.ascontiguousarray(pair.a)
        weights[f"{name}.lora_B.weight"] = np.ascontiguousarray(b)
    (rank,) = adapter.ranks
    projections = sorted({MODULES[pair.module.split(".")[2]].rpartition(".")[2] for pair in adapter.pairs})
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": adapter.alpha}
    config |= {"target_modules": projections, "lora_dropout": 0.0, "bias": "none"}
    save_file(weights, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")


def theirs(python: str, job: Path, what: str, threads: int) -> dict[str, Any]:
    """What the other side's process tells at its end.

    Raises:
        RuntimeError: it failed.
    """
    given = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    done = subprocess.run(
        [python, str(_SIDE), what, str(job)],
        env=os.environ | {"HF_HUB_OFFLINE": "1"} | given,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"the original's side failed: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def ours(spec: Spec) -> SuiteResult:
    """The suite on a freshly loaded model; its own time stands in its timings."""
    ready = prepare(spec)
    with ready.opened() as backend:
        return run(ready, backend)


def spec_of(base: Path, adapter: Path, general: Path, options: argparse.Namespace) -> Spec:
    """Our side of the suite; its general text is what the other side read."""
    entries = [
        entry | ({"chunk_chars": 4096} if entry["kind"] == "external_perplexity" else {})
        for entry in suite(options.quick)
    ]
    return Spec(
        models=Models(base=ModelSpec(base=base), ft=ModelSpec(base=base, adapter=adapter)),
        general=general,
        # The original asks prompts as they stand, without a template.
        format="plain",
        defaults=Defaults(nulls=_NULLS),
        engine=settings_of(options),
        suite=entries,
    )


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """Both sides in turns: seconds of the suites, and that both measured the same adapter."""
    what = "the original's suite"
    has_all = subprocess.run([options.python, "-c", f"import {_NEEDED}"], capture_output=True).returncode == 0
    if not has_all:
        yield left_out(what, f"{options.python} does not have all of {_NEEDED}; --python names one that does")
        return
    base, adapter = base_of(options), options.adapter or REAL / "seeds.f16.lora.gguf"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "peft").mkdir()
        write_peft(read_adapter(adapter, read_base(base)), read_base(base), folder / "peft")
        job = folder / "job.json"
        paths = {"gguf": str(base), "base": str(folder / "base"), "peft": str(folder / "peft")}
        job.write_text(json.dumps(paths | {"suite": suite(options.quick), "nulls": _NULLS}), encoding="utf-8")
        texts = theirs(options.python, job, "prepare", options.threads)["texts"]
        general = folder / "general.jsonl"
        general.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        specs = {kind: spec_of(of_type(base, kind, folder), adapter, general, options) for kind in options.types}
        found: dict[str, list[Mapping[str, Any]]] = {name: [] for name in (*specs, _THEIRS)}

        def run_ours(kind: str) -> None:
            found[kind].append(_told(ours(specs[kind])))

        sides: dict[str, Callable[[], object]] = {kind: partial(run_ours, kind) for kind in specs}
        sides[_THEIRS] = lambda: found[_THEIRS].append(theirs(options.python, job, "run", options.threads))
        in_turns(sides, options.repeat, warm=False)
    for kind in specs:
        yield from _against(kind, found[kind], found[_THEIRS])


def _against(kind: str, mine: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Our side in one type of weights against the other: seconds, and what both measured."""
    times, their_times = ([told["seconds"] for told in each] for each in (mine, others))
    ratio, spread = ratio_of(their_times, times)
    our_seconds, their_seconds = statistics.median(times), statistics.median(their_times)
    what = f"the original's suite, {kind}"
    yield Finding(what, our_seconds, "s", "dlm-sway on transformers", their_seconds, ratio, spread, _GOAL)
    value, other = mine[0]["delta_kl"], others[0]["delta_kl"]
    note = "mean JS divergence in nats; the other side has the weights of the published file in float32"
    yield Finding(
        f"what both measured, delta_kl, {kind}", value, "nats", "the original's", other, value / other, note=note
    )


def _told(result: SuiteResult) -> Mapping[str, Any]:
    values = {probe.name: probe.value for probe in result.probes}
    return {"seconds": result.timings["run_seconds"], **values}


def own_options(parser: argparse.ArgumentParser) -> None:
    """Files, and the other side's Python."""
    base_option(parser)
    parser.add_argument("--adapter", type=Path, help="a LoRA GGUF in place of the real demo's")
    parser.add_argument("--types", nargs="+", default=["Q4_1", "Q8_0"], help="types of the weights, on our side")
    parser.add_argument(
        "--python",
        default=os.environ.get("SWAY_ORIGINAL_PYTHON", sys.executable),
        help=f"a Python with {_NEEDED}; SWAY_ORIGINAL_PYTHON",
    )


if __name__ == "__main__":
    main(__doc__, measured, own_options)
