"""Whether speed and memory stay as they are from 1,000 tokens to 100,000.

Knows Linux's peak of resident memory. Each amount is scored in a process of its own, in turns: texts of about 130
tokens, and one text so long that it is read in windows. What grows must grow by the answers alone, which are taken off.

    python -m benchmarks.lengths
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.memory import resident
from benchmarks.models import settings_of
from benchmarks.random_model import random_texts, write_random_model
from benchmarks.sides import Finding, Goal, given_to_all, main
from sway_gguf.core.answers import RollingLogprob
from sway_gguf.engine.llama_backend import LlamaBackend

_FLAT, _ROOM = Goal("≥", 0.9), Goal("≤", 1.1)
_MODEL = {"vocabulary": 32_000, "hidden": 256, "layers": 4, "heads": 4, "feed_forward": 768}
_WORDS = 40
_TOKENS = (1_000, 10_000, 100_000)


def child(options: argparse.Namespace) -> dict[str, float]:
    """Tokens per second, and peak MiB without the answers, of scoring about so many tokens once."""
    texts = random_texts(max(1, options.tokens // (_WORDS * 13 // 4)), _WORDS)
    if options.one_text:
        texts = [" ".join(texts)]
    with LlamaBackend(options.base, None, settings_of(options)) as backend, backend.as_base() as view:
        view.rolling_logprob_many(random_texts(8, _WORDS, seed=1))
        start = time.perf_counter()
        found: list[RollingLogprob] = view.rolling_logprob_many(texts)
        seconds = time.perf_counter() - start
    tokens = sum(one.num_tokens for one in found)
    kept = sum(one.token_ids.nbytes + one.logprobs.nbytes for one in found) / 2**20
    return {"speed": tokens / seconds, "memory": resident("VmHWM") - kept, "tokens": tokens}


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """The most against the fewest tokens; as many short texts, and as one."""
    if options.child:
        print(json.dumps(child(options)), file=sys.stderr)
        return
    amounts = _TOKENS[:2] if options.quick else _TOKENS
    with tempfile.TemporaryDirectory() as scratch:
        path = options.base or Path(scratch) / "random.gguf"
        if not options.base:
            write_random_model(path, **_MODEL)
        for one in (False, True):
            yield from growing(path, amounts, one, options)


def growing(path: Path, amounts: tuple[int, ...], one: bool, options: argparse.Namespace) -> Iterator[Finding]:
    """Speed and memory at each amount, in turns."""
    found: dict[int, list[dict[str, float]]] = {amount: [] for amount in amounts}
    for turn in range(options.repeat):
        for amount in amounts[:: -1 if turn % 2 else 1]:
            words = ["--child", "--base", str(path), "--tokens", str(amount), *["--one-text"] * one]
            command = [sys.executable, "-m", "benchmarks.lengths", *given_to_all(options), *words]
            done = subprocess.run(command, check=True, stderr=subprocess.PIPE, cwd=Path(__file__).parents[1])
            found[amount].append(json.loads(done.stderr.splitlines()[-1]))
    middle = {
        amount: {name: statistics.median(each[name] for each in told) for name in told[0]}
        for amount, told in found.items()
    }
    first, last = middle[amounts[0]], middle[amounts[-1]]
    what = f"{last['tokens']:,.0f} tokens as {'one text' if one else 'many texts'}"
    against = f"{first['tokens']:,.0f} tokens:"
    between = "; ".join(f"{amount:,}: {told['speed']:.0f}" for amount, told in middle.items())
    if not one:  # One short text fills no batch.
        ratio = last["speed"] / first["speed"]
        yield Finding(f"{what}, speed", last["speed"], "tokens/s", against, first["speed"], ratio, None, _FLAT, between)
    ratio = last["memory"] / first["memory"]
    yield Finding(f"{what}, peak memory", last["memory"], "MiB", against, first["memory"], ratio, None, _ROOM)


def own_options(parser: argparse.ArgumentParser) -> None:
    """The model, and what the child is told."""
    parser.add_argument("--base", type=Path, metavar="GGUF", help="a model to use; made at random when absent")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one-text", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--tokens", type=int, default=0, help=argparse.SUPPRESS)


if __name__ == "__main__":
    main(__doc__, measured, own_options)
