"""Holds the engine against transformers + peft on a real model: log-probabilities, next tokens, KL, JS, greedy replies.

transformers reads the very GGUF, by its own reader and dequantizer, into float32; peft puts the adapter's factors on
top. This package runs the weights that the file stands for as an F32 GGUF with an F32 cache and the adapter in F32, so
that nothing but the two programs differs; the KL and JS of either side are of its own logits, by our code and by scipy.
Takes a base of the llama
family: that of `demo --real` with its adapter where none is named. Needs torch, transformers, accelerate and peft.

    python -m scripts.check_transformers [BASE.gguf ADAPTER.gguf]
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.peft_names import MODULES, halves_apart
from sway_gguf.artifacts.chat import chat_renderer
from sway_gguf.artifacts.lora import LoraAdapter, read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.real_model import fetched
from sway_gguf.core.dialogue import Dialogue, Turn
from sway_gguf.core.divergence import js, kl
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.queries import NextToken
from sway_gguf.core.views import BASE, TUNED, View
from sway_gguf.deploy.merge import merge
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import REAL

DIALOGUES, NEW_TOKENS = 8, 32
NAMES = {BASE: "base", TUNED: "tuned"}


def with_adapter(model: Any, adapter: LoraAdapter) -> Any:
    """The model under peft, with these factors."""
    kinds = sorted({MODULES[pair.module.split(".")[2]] for pair in adapter.pairs})
    config = LoraConfig(r=adapter.ranks[0], lora_alpha=adapter.alpha, target_modules=[k.split(".")[1] for k in kinds])
    tuned = get_peft_model(model, config).eval()
    heads = {"attn_q": model.config.num_attention_heads, "attn_k": model.config.num_key_value_heads}
    factors = dict(tuned.named_parameters())
    with torch.no_grad():
        for pair in adapter.pairs:
            _, block, kind, _ = pair.module.split(".")
            b = halves_apart(pair.b, heads[kind]) if kind in heads else pair.b
            place = f"base_model.model.model.layers.{block}.{MODULES[kind]}"
            for side, values in (("A", pair.a), ("B", b)):
                factors.pop(f"{place}.lora_{side}.default.weight").copy_(torch.from_numpy(np.ascontiguousarray(values)))
    left = [name for name in factors if "lora_" in name]
    assert not left, f"modules without factors in the file: {left[:3]}"
    return tuned


@torch.no_grad()
def logits_of(model: Any, tokens: list[int]) -> np.ndarray:
    """[N, V] log-probabilities of the next token, in float64."""
    rows = model(input_ids=torch.tensor([tokens])).logits[0].double()
    return np.asarray(torch.log_softmax(rows, -1).numpy())


@torch.no_grad()
def greedy(model: Any, tokens: list[int], ends: set[int]) -> list[int]:
    """Up to NEW_TOKENS more tokens, the likeliest each time."""
    given = torch.tensor([tokens])
    made = model.generate(
        input_ids=given, attention_mask=torch.ones_like(given), max_new_tokens=NEW_TOKENS, do_sample=False,
        eos_token_id=sorted(ends), pad_token_id=min(ends),
    )[0, len(tokens) :].tolist()  # fmt: skip
    return made[:-1] if made and made[-1] in ends else made


def main() -> None:
    """Compare, and print how far the two are apart."""
    base, adapter = map(Path, sys.argv[1:3]) if len(sys.argv) > 2 else (fetched(), REAL / "seeds.f16.lora.gguf")
    lora = read_lora(adapter)
    lines = (REAL / "heldout.jsonl").read_text(encoding="utf-8").splitlines()[:DIALOGUES]
    messages = [json.loads(line)["messages"] for line in lines]
    render = chat_renderer(base)
    assert render is not None, "the base carries no chat template"
    dialogues = [Dialogue(tuple(Turn(each["role"], each["content"]) for each in one)) for one in messages]
    texts = [render(one, opens=False) for one in dialogues]
    prompts = [render(Dialogue(one.turns[:-1]), opens=True) for one in dialogues]

    tokenizer = AutoTokenizer.from_pretrained(base.parent, gguf_file=base.name)
    model = AutoModelForCausalLM.from_pretrained(base.parent, gguf_file=base.name, dtype=torch.float32).eval()
    rendered = [tokenizer.apply_chat_template(one, tokenize=False) for one in messages]
    print(f"{base.name} + {adapter.name}: {len(texts)} dialogues")
    print(f"rendered by transformers to the same text: {sum(map(str.__eq__, texts, rendered))} of {len(texts)}")
    tuned = with_adapter(model, lora)

    found: dict[View, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        floats, factors = Path(scratch) / "base.gguf", Path(scratch) / "adapter.gguf"
        merge(base, None, floats, kind="F32")
        write_lora(replace(lora, pairs=tuple(replace(p, a_type="F32", b_type="F32") for p in lora.pairs)), factors)
        with LlamaBackend(floats, factors, EngineSettings(kv_type="f32")) as backend:
            tokens = [backend.model.tokenize(text) for text in texts]
            asked = [backend.model.tokenize(prompt) for prompt in prompts]
            ends = {token for token in range(backend.model.vocabulary) if backend.model.ends_text(token)}
            for view in NAMES:
                with backend.open(view) as opened:
                    scores = [each.logprobs for each in opened.rolling_logprob_many(texts)]
                    rows = opened.answer([NextToken(prompt) for prompt in prompts])
                    found[view] = scores, rows, opened.generate_many(prompts, max_new_tokens=NEW_TOKENS)
            pieces = backend.model.piece
            theirs_tokens = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
            print(f"the same tokens: {sum(map(list.__eq__, tokens, theirs_tokens))} of {len(texts)}")
            wanted: dict[View, Any] = {}
            for view in NAMES:
                with tuned.disable_adapter() if view == BASE else nullcontext():
                    all_rows = [logits_of(tuned, each) for each in tokens]
                    scores = [
                        rows[np.arange(len(each) - 1), each[1:]] for rows, each in zip(all_rows, tokens, strict=True)
                    ]
                    next_rows = [logits_of(tuned, each)[-1] for each in asked]
                    replies = [b"".join(map(pieces, greedy(tuned, each, ends))).decode() for each in asked]
                    wanted[view] = scores, next_rows, replies

    for view, name in NAMES.items():
        errors = np.concatenate([mine - other for mine, other in zip(found[view][0], wanted[view][0], strict=True)])
        errors = np.abs(errors)
        print(
            f"{name}: {errors.size} log-probabilities, the farthest {errors.max():.1e} nats, "
            f"median {np.median(errors):.1e}"
        )
        apart = max(float(np.abs(a - b).max()) for a, b in zip(found[view][1], wanted[view][1], strict=True))
        print(f"{name}: whole next-token distributions of {len(prompts)} prompts, the farthest {apart:.1e} nats")
        same = sum(map(str.__eq__, found[view][2], wanted[view][2]))
        print(f"{name}: {same} of {len(prompts)} greedy replies of up to {NEW_TOKENS} tokens the same")
    measures = {
        "KL(tuned ‖ base)": (kl, lambda t, b: float(rel_entr(np.exp(t), np.exp(b)).sum())),
        "JS": (js, lambda t, b: float(jensenshannon(np.exp(t), np.exp(b))) ** 2),
    }
    for title, sides in measures.items():
        mine, other = (
            [measure(t, b) for t, b in zip(side[TUNED][1], side[BASE][1], strict=True)]
            for side, measure in zip((found, wanted), sides, strict=True)
        )
        apart = max(abs(a - b) for a, b in zip(mine, other, strict=True))
        print(f"{title}: {min(other):.4f} to {max(other):.4f} nats, the farthest {apart:.1e} apart")


if __name__ == "__main__":
    main()
