"""Looks over this machine, this build, a base and an adapter, and says what may go wrong. Knows no probe.

Each finding is OK, WARN or FAIL with a way out. What could stop the process outright is looked at before llama.cpp
sees it.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sway_gguf import __version__
from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.chat import TEMPLATE_KEY, chat_renderer, special_token
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import unrunnable
from sway_gguf.core.dialogue import exchange
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import EngineError, NonFiniteError, UserError
from sway_gguf.core.queries import Rolling
from sway_gguf.core.views import BASE, BASE_RERUN, View
from sway_gguf.engine import llama
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.factory import open_backend
from sway_gguf.material.packaged import general_sections
from sway_gguf.suite.two_templates import DIALOGUES, WAY_OUT, difference, folder_render

Status = Literal["OK", "WARN", "FAIL"]
_LOUD = 0.2
"""Nats, root mean square; quantized weights alone stay below it."""
_SAMPLES = ("Hello, world!", "naïve café — 3.14 × 2", "def f(x):\n    return x + 1", "日本語と emoji 🙂")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and what to do where it is not well."""

    name: str
    status: Status
    text: str


def features(told: str) -> str:
    """What llama.cpp says of its build, "CPU : SSE3 = 1 | AVX = 1 | LEVEL = 2 |", in words: what is 1 is there."""
    words = [word.strip().removesuffix(" = 1") for word in told.split("|")]
    return ", ".join(filter(None, words)).replace(" : ", ": ")


def examine(
    base: Path | None, adapter: Path | None, settings: EngineSettings, peft: Path | None = None
) -> Iterator[Finding]:
    """Findings one by one, the cheap ones first; what cannot be looked at any more is left out.

    Args:
        base, adapter: the files, as far as given.
        settings: of the engine.
        peft: the folder that training left, whose chat template is held against the base's.
    """
    built = f"llama-cpp-python {llama.version()}; {features(llama.system_info())}"
    yield Finding("build", "OK", f"sway-gguf {__version__}, {built}")
    yield _device(settings)
    if base is None:
        return
    try:
        header = read_base(base)
    except UserError as error:
        yield Finding("base", "FAIL", str(error))
        return
    yield Finding("base", "OK", f"{header.architecture}, {header.parameters / 1e6:.1f} M weights, {_types(header)}")
    yield _threads(header, settings)
    yield _memory(header)
    file = GGUFFile(base)
    yield _vocabulary(header, file)
    yield from _template(file)
    if peft or adapter:
        yield from _template_of_training(base, peft, adapter)
    if adapter is not None:
        found = _adapter(header, adapter)
        yield found
        if found.status == "FAIL":
            adapter = None
    yield from _loaded(base, adapter, settings)


def _device(settings: EngineSettings) -> Finding:
    if llama.supports_gpu():
        return Finding("device", "OK", "this build can use a GPU; -ngl -1 puts all layers there")
    if settings.gpu_layers:
        return Finding(
            "device", "WARN", "-ngl is set, but this build is for the CPU; build with -DGGML_CUDA=on or the like"
        )
    return Finding("device", "OK", "CPU; a GPU needs a build of llama-cpp-python for it")


def _types(header: BaseModel) -> str:
    return ", ".join(f"{count} × {kind}" for kind, count in header.types.items())


def _threads(header: BaseModel, settings: EngineSettings) -> Finding:
    chosen, logical = settings.thread_count(header.parameters), os.cpu_count() or 1
    side_by_side, each = settings.workers(sys.maxsize)
    most = max(chosen, side_by_side * each)
    if most > logical:
        return Finding(
            "threads", "WARN", f"{most} threads on {logical} processors wait for each other; lower -t or --parallel"
        )
    views = f"{side_by_side} views side by side on {each} each" if side_by_side > 1 else "one view at a time"
    return Finding("threads", "OK", f"{chosen} of {logical} logical processors for a view alone, {views}")


def _memory(header: BaseModel) -> Finding:
    need = f"{header.size / 1e9:.2f} GB of weights"
    try:
        pages, free = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_AVPHYS_PAGES")
        page = os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return Finding("memory", "OK", f"{need}; this system does not tell how much memory it has")
    total = pages * page
    if header.size > total:
        text = f"{need}, {total / 1e9:.1f} GB of memory: it will be read from disk again and again; take a smaller type"
        return Finding("memory", "WARN", text)
    return Finding("memory", "OK", f"{need}, {total / 1e9:.1f} GB of memory, {free * page / 1e9:.1f} GB of it free")


def _vocabulary(header: BaseModel, file: GGUFFile) -> Finding:
    tokens = file.array_length("tokenizer.ggml.tokens") or 0
    rows = header.vocabulary
    if tokens == rows:
        return Finding("vocabulary", "OK", f"{tokens} tokens, as many as the embedding has rows")
    if tokens < rows:
        return Finding("vocabulary", "OK", f"{tokens} tokens, the embedding is padded to {rows}")
    return Finding("vocabulary", "FAIL", f"{tokens} tokens, but the embedding has {rows} rows; convert the model again")


def _template(file: GGUFFile) -> Iterator[Finding]:
    source = file.get(TEMPLATE_KEY)
    if not source:
        yield Finding(
            "chat template", "WARN", "none in the file: dialogue probes are left out; convert with a template"
        )
        return
    digest = hashlib.sha256(str(source).encode()).hexdigest()[:12]
    try:
        render = chat_renderer(file.path)
        assert render is not None
        text = render(exchange("Hello"))
    except UserError as error:
        yield Finding("chat template", "FAIL", str(error))
        return
    yield Finding("chat template", "OK", f"renders {len(text)} characters for one turn, hash {digest}")
    yield _beginning(file, text)


def _template_of_training(base: Path, peft: Path | None, adapter: Path | None) -> Iterator[Finding]:
    """The template that a PEFT folder carries against the base's: texts, and tokens of the base's vocabulary."""
    name, folder = "template of training", peft or adapter
    assert folder is not None
    try:
        theirs, own = folder_render(folder, base), chat_renderer(base)
        if theirs is None:
            if peft:
                text = f"{peft} carries no chat template; save the tokenizer there, or compare with --format FILE.jinja"
                yield Finding(name, "WARN", text)
            return
        if own is None:
            text = f"the folder carries one and the base none; {WAY_OUT}, --format {folder} measures with it"
            yield Finding(name, "WARN", text)
            return
        model = llama.Model(base, vocabulary_only=True)
        try:
            found = difference(own, theirs, model.tokenize)
        finally:
            model.close()
    except (EngineError, UserError) as error:
        yield Finding(name, "FAIL", str(error))
        return
    if found is None:
        yield Finding(name, "OK", f"{len(DIALOGUES)} dialogues are the same tokens by the folder's and the base's")
        return
    yield Finding(name, "WARN", f"{found}; {WAY_OUT}, --format {folder} measures with it")


def _beginning(file: GGUFFile, rendered: str) -> Finding:
    token, adds = special_token(file, "bos"), file.get("tokenizer.ggml.add_bos_token")
    written = bool(token) and rendered.startswith(token)
    if written and adds is not False:
        text = f"the template writes {token} and the tokenizer may add it again: here it stands once, mind other tools"
        return Finding("beginning of text", "WARN", text)
    if not written and adds is False and token:
        return Finding(
            "beginning of text", "OK", "neither template nor tokenizer writes a BOS, as some families have it"
        )
    return Finding("beginning of text", "OK", "BOS stands once")


def _adapter(header: BaseModel, path: Path) -> Finding:
    try:
        adapter = read_adapter(path, header)
    except UserError as error:
        return Finding("adapter", "FAIL", str(error))
    if why := unrunnable(adapter, header):
        return Finding("adapter", "FAIL", why)
    ranks = "/".join(map(str, adapter.ranks))
    if broken := [pair.module for pair in adapter.pairs if not pair.finite]:
        return Finding("adapter", "FAIL", f"NaN or infinity in {', '.join(broken[:3])}; the training diverged")
    if adapter.skipped:
        skipped = ", ".join(adapter.skipped[:3])
        return Finding("adapter", "WARN", f"llama.cpp leaves out {skipped}: that part of the training has no effect")
    return Finding("adapter", "OK", f"fits: {len(adapter.pairs)} modules, rank {ranks}, alpha {adapter.alpha:g}")


def _loaded(base: Path, adapter: Path | None, settings: EngineSettings) -> Iterator[Finding]:
    try:
        with open_backend(base, adapter, settings) as backend:
            yield _round_trip(base)
            yield from _numbers(backend, with_adapter=adapter is not None)
    except (EngineError, UserError) as error:
        yield Finding("loading", "FAIL", str(error))


def _round_trip(base: Path) -> Finding:
    vocabulary = llama.Model(base, vocabulary_only=True)
    try:
        lost = [text for text in _SAMPLES if _spelled(vocabulary, text).strip() != text]
    finally:
        vocabulary.close()
    if lost:
        shown = ", ".join(map(repr, lost[:2]))
        return Finding("tokenizer", "WARN", f"{shown} does not come back from its tokens; compare tokenizer.ggml.pre")
    return Finding("tokenizer", "OK", f"{len(_SAMPLES)} samples come back from their tokens")


def _spelled(vocabulary: llama.Model, text: str) -> str:
    return b"".join(map(vocabulary.piece, vocabulary.tokenize(text))).decode("utf-8", "replace")


def _numbers(backend: DoorBackend, *, with_adapter: bool) -> Iterator[Finding]:
    """Finite numbers, and what rounding alone does to them."""
    texts = general_sections()[:4]
    try:
        scores = [_scores(backend, view, texts) for view in (BASE, BASE_RERUN)]
        if with_adapter:
            ok, why = backend.preflight_finite_check()
            yield Finding("numbers", "OK" if ok else "FAIL", why or "base and tuned model give finite numbers")
    except NonFiniteError as error:
        yield Finding("numbers", "FAIL", str(error))
        return
    if backend.shows_noise([Rolling(text) for text in texts]):
        yield _noise(scores[0].astype(np.float64) - scores[1])


def _noise(change: NDArray[np.float64]) -> Finding:
    usual, most = float(np.sqrt(np.mean(change**2))), float(np.abs(change).max())
    text = f"rounding alone moves a log-probability by {usual:.1e} nats (rms), {most:.1e} at most"
    if usual < _LOUD:
        return Finding("noise floor", "OK", text)
    return Finding("noise floor", "WARN", f"{text}; effects of this size cannot be seen, so give more items")


def _scores(backend: DoorBackend, view: View, texts: list[str]) -> NDArray[np.float32]:
    with backend.open(view) as opened:
        return np.concatenate([found.logprobs for found in opened.rolling_logprob_many(texts)])
