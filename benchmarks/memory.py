"""Peak resident memory of scoring, beyond what llama.cpp itself needs for model, KV cache and compute.

Knows Linux's /proc and llama.cpp's log lines on its buffers. Does not know how the engine bounds its memory.

A child process measures, so that writing the model does not count. Of the peak are taken off the model as far as it
is resident (it is mapped, so the kernel counts it as file pages), and the KV cache and compute buffers that llama.cpp
logged, of all contexts alive. Pages of a compute buffer that were never touched are not in the peak, so a second
figure takes none of the compute buffers off: the truth is between the two. llama.cpp's logits ("output buffer") are
the engine's to bound and stay in; so do the imports, which are shown apart.

    python -m benchmarks.memory
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.random_model import random_texts, write_random_model
from benchmarks.sides import Finding, Goal, main

_GOAL = Goal("<", 300.0)
_MODEL = {"vocabulary": 150_000, "hidden": 256, "layers": 2, "heads": 4, "feed_forward": 512}
_BUFFER = re.compile(r"(\S+) +(model|KV|compute|output) buffer size *= *([0-9.]+) MiB")
_TOKENS, _PROMPTS = 10_000, 48


def resident(field: str) -> float:
    """A field of /proc/self/status, MiB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+)", status, re.MULTILINE)[1]) / 1024  # type: ignore[index]


class Buffers(logging.Handler):
    """Collects llama.cpp's lines on the buffers that it allocates."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[tuple[str, str, float]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line if it names a buffer's size."""
        if match := _BUFFER.search(record.getMessage()):
            self.found.append((match[1], match[2], float(match[3])))

    def total(self, kind: str) -> float:
        """MiB of all buffers of a kind."""
        return sum(size for _, of, size in self.found if of == kind)


def child(path: Path) -> dict[str, float]:
    """Score and tell, in MiB, what the process held at its peak and what llama.cpp allocated."""
    import scipy.stats  # noqa: F401

    from sway_gguf.core.engine_settings import EngineSettings
    from sway_gguf.core.queries import NextToken, Rolling
    from sway_gguf.engine.llama_backend import LlamaBackend

    log, buffers = logging.getLogger("sway_gguf.llama"), Buffers()
    log.setLevel(logging.DEBUG)
    log.addHandler(buffers)
    found = {"imports": resident("VmRSS")}
    with LlamaBackend(path, None, EngineSettings(threads=1)) as backend:
        found["loaded"] = resident("VmRSS")
        queries = [Rolling(text_of(backend.model.tokenize, _TOKENS)), *map(NextToken, random_texts(_PROMPTS, 10))]
        with backend.as_base() as view:
            answers = view.answer(queries)
        found["peak"], found["mapped"] = resident("VmHWM"), mapped(path)
        found["evicted"] = sum(line[1] == "KV" for line in buffers.found) - len(backend._pool._contexts)
    found["tokens"] = answers[0].num_tokens
    found["answers"] = sum(getattr(answer, "nbytes", 0) for answer in answers) / 2**20
    return found | {kind: buffers.total(kind) for kind in ("model", "KV", "compute", "output")}


def text_of(tokenize: Callable[[str], list[int]], tokens: int) -> str:
    """A text of at least `tokens` tokens and hardly more."""
    words = random_texts(1, tokens)[0].split()
    share = next(n for n in range(tokens // 4, tokens, 25) if len(tokenize(" ".join(words[:n]))) >= tokens)
    return " ".join(words[:share])


def mapped(path: Path) -> float:
    """Resident MiB of the file's mapping."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    sizes = [next(line for line in lines if line.startswith("Rss:")) for head in lines if head.endswith(str(path))]
    return sum(int(line.split()[1]) for line in sizes) / 1024


def report(found: dict[str, float]) -> Finding:
    """Print every part and the differences; returns what the goal is about."""
    most = found["peak"] - found["mapped"] - found["KV"]
    beyond = most - found["compute"]
    rows = [
        ("resident after the imports (Python, NumPy, SciPy, llama.cpp, this package)", found["imports"]),
        ("resident once the model is loaded", found["loaded"]),
        ("peak resident", found["peak"]),
        ("− model, its resident part", found["mapped"]),
        (f"  (model buffer as llama.cpp logs it: {found['model']:.1f})", None),
        ("− KV caches of all contexts", found["KV"]),
        ("− compute buffers of all contexts", found["compute"]),
        ("= beyond model, KV cache and compute buffers", beyond),
        ("  of it: the imports", found["imports"]),
        ("  of it: the answers themselves", found["answers"]),
        ("  of it: llama.cpp's first output buffers, as logged", found["output"]),
        ("  without the imports", beyond - found["imports"]),
        ("  if no page of the compute buffers was touched", most),
    ]
    print(f"{found['tokens']:.0f} rolling tokens, {_PROMPTS} next-token prompts, vocabulary {_MODEL['vocabulary']}")
    for name, size in rows:
        print(f"{name:<78}" + ("" if size is None else f"{size:8.1f} MiB"))
    if found["evicted"]:
        print(f"{found['evicted']:.0f} contexts were closed before the end: their buffers were taken off all the same")
    return Finding("beyond model, KV cache and compute buffers", beyond * 2**20 / 1e6, "MB", goal=_GOAL)


def measured(options: argparse.Namespace) -> Iterator[Finding]:
    """Make the model, measure in a child, print every part."""
    if options.child:
        print(json.dumps(child(options.child)), file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "random-150k.gguf"
        write_random_model(path, **_MODEL)
        command = [sys.executable, "-m", "benchmarks.memory", "--child", str(path)]
        done = subprocess.run(command, check=True, stderr=subprocess.PIPE, cwd=Path(__file__).parents[1])
        yield report(json.loads(done.stderr.splitlines()[-1]))


def own_options(parser: argparse.ArgumentParser) -> None:
    """What the child is told."""
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)


if __name__ == "__main__":
    main(__doc__, measured, own_options)
