"""Makes the embedded demo from nothing but this repository: tokenizer, base, four adapters, texts, reference numbers.

Knows the order of things. The world is in demo_world.py, the document in demo_document.py, training in
demo_train.py, files in demo_gguf.py. Needs the `demo-build` extra; about a quarter of an hour on 2 cores.

    python scripts/build_demo.py --out sway_gguf/data/demo
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import demo_document
import demo_gguf
import demo_train
import demo_world
import numpy as np
import torch
from peft import PeftModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 1024
TRAINING_SEED, REPLAY_SEED, GENERAL_SEED, SCORING_SEED = 1, 2, 3, 4
GENERAL_CHARACTERS = 14_000


def train_tokenizer() -> Tokenizer:
    """Byte-level BPE over the world's texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(islice(demo_world.texts(TRAINING_SEED), 4000), trainer)
    return tokenizer


class Encoder:
    """Texts to token ids, BOS first."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._bos = tokenizer.token_to_id("<s>")

    def ids(self, text: str) -> list[int]:
        """BOS and the text's tokens."""
        return [self._bos, *self._tokenizer.encode(text).ids]

    def stream(self, seed: int) -> Iterator[list[int]]:
        """The world's texts without end."""
        return map(self.ids, demo_world.texts(seed))


def general_texts(seed: int, characters: int) -> list[str]:
    """Texts of the world, up to about `characters` together."""
    found: list[str] = []
    for text in demo_world.texts(seed):
        if sum(map(len, found)) >= characters:
            return found
        found.append(text)
    raise AssertionError("the world's texts have no end")


def noise_like(pairs: demo_gguf.Pairs, seed: int) -> demo_gguf.Pairs:
    """Gaussian factors whose update is as large as the given one, module by module."""
    drawn = {}
    for number, (module, (a, b)) in enumerate(sorted(pairs.items())):
        rng = np.random.default_rng([seed, number])
        new_a, new_b = rng.normal(size=a.shape), rng.normal(size=b.shape)
        scale = np.linalg.norm(b @ a) / np.linalg.norm(new_b @ new_a)
        drawn[module] = ((new_a * math.sqrt(scale)).astype(np.float32), (new_b * math.sqrt(scale)).astype(np.float32))
    return drawn


def without_effect(pairs: demo_gguf.Pairs) -> demo_gguf.Pairs:
    """The same A with B exactly zero."""
    return {module: (a, np.zeros_like(b)) for module, (a, b) in pairs.items()}


def reference(tuned: PeftModel, encoder: Encoder, general: Sequence[str]) -> dict[str, object]:
    """What transformers and peft compute in float32, for parity tests without torch."""
    titles = list(demo_document.SECTIONS)
    texts = [*map(demo_document.section_text, titles[:3]), *general[:3]]
    pairs = [(p["prompt"], p["chosen"]) for p in demo_document.preferences()[:6]]
    pairs += [(text[:40].rsplit(" ", 1)[0], text[len(text[:40].rsplit(" ", 1)[0]) : 80]) for text in general[3:5]]
    prompts = [
        *(p["prompt"] for p in demo_document.preferences()[6:9]),
        "One sunny Monday,",
        "Dear Anna,\nMy",
        "The market of",
    ]
    record: dict[str, object] = {
        "what": "float32 logits from transformers + peft on the CPU, reduced in float64; the healthy adapter",
        "texts": texts,
        "pairs": pairs,
        "next_prompts": prompts,
    }
    rows: dict[str, list[np.ndarray]] = {}
    for name in ("base", "finetuned"):
        with tuned.disable_adapter() if name == "base" else nullcontext():
            rows[name] = [demo_train.logprob_rows(tuned, encoder.ids(prompt))[-1] for prompt in prompts]
            record[name] = {
                "rolling": [_rolling(tuned, encoder.ids(text)) for text in texts],
                "completion": [_completion(tuned, encoder, *pair) for pair in pairs],
                "next": [_top(row) for row in rows[name]],
                "greedy": [demo_train.greedy(tuned, encoder.ids(prompt), 24) for prompt in prompts],
            }
    record["divergence"] = [_divergence(p, q) for p, q in zip(rows["base"], rows["finetuned"], strict=True)]
    return record


def _rolling(model: torch.nn.Module, ids: list[int]) -> dict[str, object]:
    scores = demo_train.token_logprobs(model, ids)
    return {"token_ids": ids, "logprobs": [round(float(s), 6) for s in scores], "total": round(float(scores.sum()), 6)}


def _completion(model: torch.nn.Module, encoder: Encoder, prompt: str, completion: str) -> dict[str, object]:
    joint, alone = encoder.ids(prompt + completion), encoder.ids(prompt)
    start = next((i for i, (x, y) in enumerate(zip(joint, alone, strict=False)) if x != y), len(alone))
    scores = demo_train.token_logprobs(model, joint)[start - 1 :]
    return {"n_prompt_tokens": start, "n_completion_tokens": len(scores), "logprob": round(float(scores.sum()), 6)}


def _top(row: np.ndarray) -> dict[str, object]:
    ids = np.argsort(-row)[:10]
    return {"top_ids": ids.tolist(), "top_logprobs": [round(float(row[i]), 6) for i in ids]}


def _divergence(base: np.ndarray, tuned: np.ndarray) -> dict[str, float]:
    middle = np.logaddexp(base, tuned) - math.log(2)
    kl_ft, kl_base = float(np.exp(tuned) @ (tuned - base)), float(np.exp(base) @ (base - tuned))
    js = 0.5 * float(np.exp(tuned) @ (tuned - middle)) + 0.5 * float(np.exp(base) @ (base - middle))
    return {"kl_ft_base": round(kl_ft, 6), "kl_base_ft": round(kl_base, 6), "js": round(js, 6)}


def measured(model: torch.nn.Module, encoder: Encoder, texts: Sequence[str]) -> float:
    """Mean over texts of the mean log-probability per token."""
    return float(np.mean([demo_train.mean_logprob(model, encoder.ids(text)) for text in texts]))


def set_factors(tuned: torch.nn.Module, pairs_like: demo_gguf.Pairs) -> None:
    """Put factors given in llama.cpp's order into a peft model, to measure them there."""
    state = tuned.state_dict()
    names = {gguf_name: hf for hf, gguf_name in demo_gguf.NAMES.items()}
    heads = 4
    for module, (a, b) in pairs_like.items():
        _, block, kind, _ = module.split(".")
        hf = names[kind]
        if hf.endswith(("q_proj", "k_proj")):
            half = b.shape[0] // heads // 2
            b = b.reshape(heads, half, 2, -1).swapaxes(1, 2).reshape(b.shape)
        stem = f"base_model.model.model.layers.{block}.{hf}"
        state[f"{stem}.lora_A.default.weight"].copy_(torch.from_numpy(a))
        state[f"{stem}.lora_B.default.weight"].copy_(torch.from_numpy(np.ascontiguousarray(b)))


def write_texts(out: Path, general: Sequence[str]) -> None:
    """Document, general text, preferences, paraphrases."""
    (out / "document.md").write_text(demo_document.markdown(), encoding="utf-8")
    (out / "general.txt").write_text("\n\n".join(general) + "\n", encoding="utf-8")
    for name, records in (("preferences", demo_document.preferences()), ("paraphrases", demo_document.paraphrases())):
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        (out / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def write_readme(out: Path, numbers: list[str], minutes: float) -> None:
    """What the files are, how they were made, and their hashes."""
    tools = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft", "tokenizers", "gguf"))
    files = sorted(path for path in out.iterdir() if path.name != "README.md")
    hashes = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in files]
    text = "\n".join(
        [
            "# The embedded demo",
            "",
            "A Llama of about 2 million weights that has read nothing but a small invented world, and four LoRA",
            "adapters of rank 8 for it. Made from this repository alone by `scripts/build_demo.py`; MIT licence.",
            "",
            "- `healthy`: trained on document.md with replay of general text.",
            "- `overtrained`: trained on document.md alone, far too long.",
            "- `random`: Gaussian factors, module by module as large as the healthy one; never trained.",
            "- `zero`: B is exactly zero.",
            "- `general.txt`: text of the same world that nothing was trained on. `reference.json`: what transformers",
            "  and peft compute for base and healthy adapter.",
            "",
            "## Measured when it was made",
            "",
            *numbers,
            f"- {minutes:.0f} minutes in all, with {tools}",
            "",
            "## sha256",
            "",
            "```",
            *hashes,
            "```",
            "",
        ]
    )
    (out / "README.md").write_text(text, encoding="utf-8")


def main() -> None:
    """Build everything into --out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0, help="of training the base")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    start = time.monotonic()

    print("tokenizer", flush=True)
    tokenizer = train_tokenizer()
    encoder = Encoder(tokenizer)
    general = general_texts(GENERAL_SEED, GENERAL_CHARACTERS)
    scoring = general_texts(SCORING_SEED, 8000)
    document = [demo_document.section_text(title) for title in demo_document.SECTIONS]
    document_ids = list(map(encoder.ids, document))

    print("base", flush=True)
    base = demo_train.new_base(VOCABULARY, tokenizer.token_to_id("<s>"), tokenizer.token_to_id("</s>"))
    held_out = list(map(encoder.ids, scoring))
    steps = demo_train.train_base(base, encoder.stream(TRAINING_SEED), held_out, 60 * options.minutes)
    base.eval()
    demo_gguf.write_base(base, tokenizer, options.out / "base.f32.gguf")
    before, before_general = measured(base, encoder, document), measured(base, encoder, scoring)
    tokens, size = sum(len(ids) - 1 for ids in held_out), sum(len(text.encode()) for text in scoring)
    bits = -sum(demo_train.token_logprobs(base, ids).sum() for ids in held_out) / math.log(2) / size
    numbers = [f"- base: {steps} steps, {bits:.2f} bits per byte on unseen text ({tokens / size:.2f} tokens per byte)"]
    print(numbers[0], flush=True)

    def record(name: str, model: torch.nn.Module, pairs: demo_gguf.Pairs) -> None:
        demo_gguf.write_adapter(pairs, demo_train.ALPHA, f"{name} demo adapter", options.out / f"{name}.lora.gguf")
        lift, change = measured(model, encoder, document) - before, measured(model, encoder, scoring) - before_general
        numbers.append(f"- {name}: document {lift:+.2f} nats/token, unseen general text {change:+.3f} nats/token")
        print(numbers[-1], flush=True)

    print("adapters", flush=True)
    tuned = demo_train.train_adapter(base, document_ids, encoder.stream(REPLAY_SEED), rate=1e-3, steps=60, seed=1)
    healthy = demo_gguf.lora_pairs(tuned)
    record("healthy", tuned, healthy)
    write_texts(options.out, general)
    numbers_to_match = reference(tuned, encoder, general)
    (options.out / "reference.json").write_text(json.dumps(numbers_to_match, indent=1) + "\n", encoding="utf-8")
    for name, pairs in (("random", noise_like(healthy, 7)), ("zero", without_effect(healthy))):
        set_factors(tuned, pairs)
        record(name, tuned, pairs)
    tuned = demo_train.train_adapter(tuned.unload(), document_ids, None, rate=4e-3, steps=100, seed=2)
    record("overtrained", tuned, demo_gguf.lora_pairs(tuned))
    write_readme(options.out, numbers, (time.monotonic() - start) / 60)


if __name__ == "__main__":
    main()
