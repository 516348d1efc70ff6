"""Trains the demo's base and adapters with torch, transformers and peft.

Knows token ids and models; neither where texts come from nor what a GGUF is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

BLOCK = 256
_REPLAYED = 96
RANK, ALPHA = 8, 16
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

Tokens = Sequence[int]


def new_base(vocabulary: int, bos: int, eos: int) -> LlamaForCausalLM:
    """An untrained Llama of about 2 M weights; every dimension is a multiple of 256, so K-quants apply."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        bos_token_id=bos,
        eos_token_id=eos,
        attn_implementation="eager",
    )
    return LlamaForCausalLM(config).float()


def blocks(texts: Iterator[Tokens], batch: int) -> Iterator[torch.Tensor]:
    """[batch, BLOCK + 1] of texts laid end to end; each text begins with BOS."""
    need = batch * (BLOCK + 1)
    held: list[int] = []
    for text in texts:
        held += text
        if len(held) >= need:
            yield torch.tensor(held[:need]).view(batch, BLOCK + 1)
            held = held[need:]


def train_base(model: LlamaForCausalLM, texts: Iterator[Tokens], held_out: Sequence[Tokens], seconds: float) -> int:
    """Train for about `seconds`, with warm-up and a cosine to zero; returns the number of steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05)
    start, step = time.monotonic(), 0
    for batch in blocks(texts, 16):
        spent = (time.monotonic() - start) / seconds
        if spent >= 1:
            return step
        rate = 2e-3 * min(1.0, step / 50) * (0.5 + 0.5 * float(np.cos(np.pi * spent)))
        loss = _step(model, optimizer, batch[:, :-1], batch[:, 1:], rate)
        step += 1
        if step % 100 == 0:
            general = np.mean([mean_logprob(model, text) for text in held_out[:20]])
            print(f"  step {step}, loss {loss:.3f}, held out {-general:.3f} nats/token, {spent:.0%}", flush=True)
    return step


def train_adapter(
    base: LlamaForCausalLM,
    document: Sequence[Tokens],
    replay: Iterator[Tokens] | None,
    *,
    rate: float,
    steps: int,
    seed: int,
) -> PeftModel:
    """A LoRA trained on the whole document at every step, with as many replayed texts beside it where given."""
    torch.manual_seed(seed)
    tuned = get_peft_model(
        base, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=PROJECTIONS, task_type="CAUSAL_LM")
    )
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=rate, weight_decay=0.0)
    for step in range(steps):
        mates = [text[:_REPLAYED] for text in islice(replay, len(document))] if replay else []
        inputs, targets = padded([*document, *mates])
        _step(tuned, optimizer, inputs, targets, rate * min(1.0, (step + 1) / 10))
    return tuned.eval()


def padded(texts: Sequence[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets [n, longest], targets −100 where a text has ended."""
    width = max(map(len, texts)) - 1
    inputs = torch.zeros(len(texts), width, dtype=torch.long)
    targets = torch.full((len(texts), width), -100)
    for row, text in enumerate(texts):
        inputs[row, : len(text) - 1] = torch.tensor(text[:-1])
        targets[row, : len(text) - 1] = torch.tensor(text[1:])
    return inputs, targets


def _step(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, inputs: torch.Tensor, targets: torch.Tensor, rate: float
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    logits = model(input_ids=inputs).logits
    loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


@torch.no_grad()
def logprob_rows(model: torch.nn.Module, tokens: Tokens) -> np.ndarray:
    """[N, vocabulary] log-softmax after each token, reduced in float64."""
    logits = model(input_ids=torch.tensor([list(tokens)])).logits[0].double()
    return torch.log_softmax(logits, dim=-1).numpy()


def token_logprobs(model: torch.nn.Module, tokens: Tokens) -> np.ndarray:
    """[N-1] log-probabilities of tokens 1 … N-1."""
    return logprob_rows(model, tokens)[np.arange(len(tokens) - 1), tokens[1:]]


def mean_logprob(model: torch.nn.Module, tokens: Tokens) -> float:
    """Nats per token."""
    return float(token_logprobs(model, tokens).mean())


def greedy(model: torch.nn.Module, tokens: Tokens, count: int) -> list[int]:
    """The `count` likeliest next tokens, one after the other."""
    held = list(tokens)
    for _ in range(count):
        held.append(int(logprob_rows(model, held)[-1].argmax()))
    return held[len(tokens) :]
