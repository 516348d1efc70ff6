"""The other side of `original`: for a Python with torch, transformers, peft and dlm-sway, and nothing of this package.

Knows the original's own entry points. `prepare` writes the base as transformers has it and tells which general texts
the original reads; `run` times its suite. Either prints one line of JSON at its end.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from dlm_sway.backends import build
from dlm_sway.probes._external_corpus import chunk_corpus, load_corpus
from dlm_sway.suite.loader import from_dict
from dlm_sway.suite.runner import run
from transformers import AutoModelForCausalLM, AutoTokenizer


def prepare(job: dict[str, Any]) -> dict[str, Any]:
    """The dequantized base with its tokenizer, in float32, and the texts of external_perplexity."""
    path = Path(job["gguf"])
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(job["base"])
    read = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    # What was read from a GGUF counts as quantized, and is not saved; its weights in a model that was not are.
    config = type(read.config)(**{k: v for k, v in read.config.to_dict().items() if k != "quantization_config"})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.save_pretrained(job["base"])
    (entry,) = [entry for entry in job["suite"] if entry["kind"] == "external_perplexity"]
    return {"texts": chunk_corpus(load_corpus("public_domain_en"), chunk_chars=2048, max_chunks=entry["max_chunks"])}


def suite(job: dict[str, Any]) -> dict[str, Any]:
    """Seconds of the whole suite, nulls first, on a model that is loaded; and the mean divergence."""
    # Its cache keeps null statistics between processes; every round is to measure them.
    null = {"name": "null", "kind": "null_adapter", "runs": job["nulls"], "cache": False}
    model = {"kind": "hf", "base": job["base"], "dtype": "fp32", "device": "cpu"}
    models = {"base": model, "ft": model | {"adapter": job["peft"]}}
    spec = from_dict({"version": 1, "models": models, "suite": [null, *job["suite"]]})
    backend = build(spec.models.base, adapter_path=spec.models.ft.adapter)
    start = time.perf_counter()
    result = run(spec, backend)
    seconds = time.perf_counter() - start
    failed = [f"{probe.name}: {probe.message}" for probe in result.probes if probe.verdict.value == "error"]
    if failed:
        raise SystemExit("; ".join(failed))
    return {"seconds": seconds, **{probe.name: probe.raw for probe in result.probes}}


def main() -> None:
    """Do what the first word says, on the job that the second names."""
    job = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    print(json.dumps({"prepare": prepare, "run": suite}[sys.argv[1]](job)))


if __name__ == "__main__":
    main()
