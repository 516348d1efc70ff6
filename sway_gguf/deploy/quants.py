"""The survival matrix: types of weights crossed with the adapter at run time and merged in. One model at a time.

Files are made from the given base, measured, and removed; what was measured is kept in the answer store, so a run that
was interrupted goes on where it stopped. Knows deployments; its verdict is that of a tolerance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sway_gguf import __version__
from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.digest import sha256_of, sha256_of_all, size_of
from sway_gguf.artifacts.importance import read_importance
from sway_gguf.artifacts.kin import vectors_digest
from sway_gguf.artifacts.lora import LoraAdapter, fits
from sway_gguf.artifacts.merge import PLAIN, check_readable
from sway_gguf.core.divergence import kl
from sway_gguf.core.errors import UserError
from sway_gguf.core.panel import sample_of
from sway_gguf.core.queries import Rolling
from sway_gguf.core.survival import DeploymentResult, Mode, SurvivalMatrix
from sway_gguf.core.views import TUNED
from sway_gguf.deploy.deployment import Asked, Measured, Side, written_to
from sway_gguf.deploy.merge import TYPES
from sway_gguf.deploy.survived import cost_line, matrix_of, verdict_on
from sway_gguf.deploy.workshop import Making, Say, as_file, files_of, is_file, kept, working_in
from sway_gguf.engine.encoding import encode
from sway_gguf.engine.quantizing import QUANT_TYPES
from sway_gguf.engine.store import AnswerStore
from sway_gguf.material.chunks import spread
from sway_gguf.material.files import shown
from sway_gguf.probes.lift import queries_of
from sway_gguf.stats.interval import MIN_ITEMS, mean_interval
from sway_gguf.stats.ratio import ratio_interval
from sway_gguf.suite.prepare import Prepared
from sway_gguf.suite.texts import neutral_prompts, picked

DEFAULT_TYPES = ("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "IQ4_XS")
_SECTIONS, _GENERAL, _PROMPTS = 24, 12, 24


@dataclass(frozen=True)
class _Row:
    kind: str
    mode: Mode
    size: int
    cost: Measured
    base: Side
    tuned: Side


def survival(
    prepared: Prepared,
    work: Path,
    store: AnswerStore,
    *,
    types: Sequence[str],
    wanted: float,
    tolerance: float,
    importance: Path | None = None,
    say: Say,
) -> SurvivalMatrix:
    """Measure every deployment; the first type at run time is the reference.

    A base that is quantized itself is the reference as it stands, unless a file is given as one: there is nothing
    nearer to the original then.

    Args:
        prepared: base, adapter and text; of a quantized base the files are made by dequantizing it.
        work: folder for files in the making.
        store: keeps what was measured.
        types: of weights, the reference first; a GGUF file stands for itself, with the adapter at run time.
        wanted: share of the effect that must be kept.
        tolerance: accepted change on general text, nats per token.
        importance: an importance matrix of the base, by which all that is quantized here is.
        say: told what is being done.

    Raises:
        UserError: an unknown type, too little text, a folder that cannot be worked in, an adapter without effect at
            the reference, or a base whose weights cannot be turned into floats.
    """
    base = prepared.base
    types = _in_order(prepared, types)
    if types[0] == str(base.path) and base.quantized:
        say(f"{base.path} is quantized itself ({base.quantized}): as it stands it is the reference")
    asked = asked_of(prepared)
    weighed = _weighed(importance, base)
    for remark in prepared.left_out:
        say(remark)
    rows = list[_Row]()
    with working_in(work):
        for row in _rows(prepared, work, store, types, asked, importance, say):
            if not rows:
                _check_effect(row)
            rows.append(row)
    found = tuple(_result(row, rows[0], wanted, tolerance, _label(row.kind, base)) for row in rows)
    costs = _costs(rows)
    remarks = (*weighed, *_remarks(prepared, types), *cost_line(costs))
    matrix = matrix_of(found, wanted, tolerance, remarks)
    return replace(matrix, costs=costs, parameters=base.parameters, vectors=vectors_digest(base))


def _costs(rows: Sequence[_Row]) -> dict[str, float]:
    """What each type that was made here costs the base alone, nats per token of general text, the cheapest first.

    Nothing where the reference is not the base in floats: beside one that is quantized itself, or a file of which that
    is not known, each type would seem to cost less than it does.
    """
    if rows[0].kind not in PLAIN:
        return {}
    made = {row.kind: row.base for row in rows[1:] if row.mode == "runtime" and row.kind in QUANT_TYPES}
    whole = rows[0].base.general
    losses = {kind: float(np.mean(whole - base.general, dtype=np.float64)) for kind, base in made.items() if whole.size}
    return dict(sorted(losses.items(), key=lambda pair: pair[1]))


def _in_order(prepared: Prepared, types: Sequence[str]) -> Sequence[str]:
    """The types after looking at each, the reference first.

    Raises:
        UserError: none, an unknown one, a file that the adapter does not fit, or a base that none can be made from.
    """
    base, known = prepared.base, f"{', '.join(TYPES)}, or a GGUF file"
    if not types:
        raise UserError(f"--types names none; one of {known}")
    if unknown := [kind for kind in types if kind not in TYPES and not is_file(kind)]:
        raise UserError(f"unknown type {unknown[0]!r}; one of {known}")
    for given in filter(is_file, types):
        for adapter in prepared.stack.adapters:
            fits(adapter, read_base(Path(given)))
    if not all(map(is_file, types)):
        check_readable(base)
    if base.quantized and not is_file(types[0]):
        return [str(base.path), *(kind for kind in types if kind != str(base.path))]
    return types


def _label(kind: str, base: BaseModel) -> str:
    """How a row calls its weights; "base" is a quantized base as it stands."""
    if base.quantized and kind == str(base.path):
        return "base"
    return Path(kind).stem if is_file(kind) else kind


def _remarks(prepared: Prepared, types: Sequence[str]) -> Iterator[str]:
    base, adapter = prepared.base, prepared.adapter
    if adapter.only_merged and not all(map(is_file, types)):
        yield f"{adapter.only_merged}."
    if not base.quantized:
        if types[0] in QUANT_TYPES:
            yield (
                f"The reference is {types[0]}, made from the base: what that type loses itself is not seen here; begin "
                "--types with F16 to see it."
            )
        return
    if types[0] == str(base.path):
        yield (
            f"The reference is itself quantized ({base.quantized}): what quantizing the original lost is not seen here."
        )
    if not all(map(is_file, types)):
        yield f"What is made here is made from it and rounded twice; {base.float_file} would be the better base."


def _weighed(importance: Path | None, base: BaseModel) -> tuple[str, ...]:
    """A remark on the importance matrix, which is read here to fail before anything is made."""
    if importance is None:
        return ()
    count = sum(name in base.tensors for name in read_importance(importance, base))
    return (f"What is quantized here is quantized by {importance}, which weighs {count} tensors.",)


def asked_of(prepared: Prepared) -> Asked:
    """The document's sections, general text, and prompts of both.

    Raises:
        UserError: there is no document, fewer sections in it than an interval needs, or a context that holds no prompt.
    """
    sources = picked(prepared.spec, prepared.texts)
    if not sources.sections:
        raise UserError("give --data FILE with the text the adapter was trained on: what survives is measured on it")
    sections = sample_of(sources.sections, _SECTIONS)
    queries = tuple(dict.fromkeys(queries_of(sections)))
    if len(queries) < MIN_ITEMS:
        raise UserError(
            f"{shown(prepared.spec.data)}: {len(queries)} distinct sections leave no interval for what is kept; give "
            f"{MIN_ITEMS - len(queries)} or more in addition (Markdown headings or lines of JSONL part them)"
        )
    neutral = neutral_prompts(prepared.texts.speech, _PROMPTS)
    candidates = dict.fromkeys([*sample_of(sources.prompts, _PROMPTS), *neutral])
    prompts = [prompt for prompt in candidates if prepared.room.holds(written_to(prompt))]
    if not prompts:
        raise UserError("; ".join(["no prompt is left to ask", *prepared.room.left_out({})]))
    return Asked(
        sections=queries,
        general=tuple(Rolling(text) for text in dict.fromkeys(spread(sources.general, _GENERAL))),
        prompts=tuple(prompts),
    )


def _rows(
    prepared: Prepared,
    work: Path,
    store: AnswerStore,
    types: Sequence[str],
    asked: Asked,
    importance: Path | None,
    say: Say,
) -> Iterator[_Row]:
    # Of a set the one adapter of the same update: merged in it is the same, and beside a base it differs by rounding.
    adapter, key = prepared.stack.as_one(), hashlib.sha256(prepared.adapter_hash.encode()).hexdigest()[:16]
    hangs_on = _hangs_on(prepared, asked)
    digest = sha256_of(importance) if importance else ""

    def making(kind: str, mode: Mode, merged_in: LoraAdapter | None, on_top: Path | None) -> Making:
        content = sha256_of_all(files_of(kind)) if is_file(kind) else kind
        # What no importance matrix weighs is the same with one, and was perhaps measured without.
        weighed = {"importance": digest} if digest and kind in QUANT_TYPES else {}
        request = encode(hangs_on | {"weights": content, "mode": mode} | weighed)
        name = f"{key}-{Path(kind).stem}-{mode}"
        return Making(prepared, asked, work, name, kind, merged_in, on_top, request, store, importance)

    with as_file(adapter, work / f"{key}-adapter.gguf") as adapter_file:
        for kind in types:
            say(f"{kind} runtime")
            own, size = kept(making(kind, "runtime", None, adapter_file))
            assert own.tuned is not None
            yield _Row(kind, "runtime", size + size_of(adapter_file), own, own.base, own.tuned)
            if is_file(kind):
                continue
            say(f"{kind} merged")
            other, size = kept(making(kind, "merged", adapter, None))
            yield _Row(kind, "merged", size, other, own.base, other.base)


def _hangs_on(prepared: Prepared, asked: Asked) -> dict[str, Any]:
    """All that a measurement hangs on but the weights: the files, the questions, the settings, and what computes."""
    from sway_gguf.engine.identity import Identity  # loads llama.cpp

    # Settings that are not used leave the request as it was, and what an earlier release kept is found.
    unused = {"embedder"} if prepared.engine.rpc else {"embedder", "rpc"}
    settings = prepared.engine.model_dump(exclude=unused)
    return {
        "deployment": __version__,
        "identity": Identity(prepared.base, prepared.engine, prepared.stack).of(TUNED),
        "settings": settings,
        "asked": asked,
    }


def _check_effect(reference: _Row) -> None:
    effects = _effects(reference)
    if ratio_interval(effects.tolist(), effects.tolist()) is None:
        raise UserError(
            f"the adapter does not raise the document's log-probability beyond doubt at {reference.kind} "
            f"({effects.mean():+.3f} nats/token): there is nothing that could survive; run check first"
        )


def _effects(row: _Row) -> np.ndarray:
    """[sections] change in mean log-probability, nats per token."""
    return (row.tuned.sections - row.base.sections).astype(np.float64)


def _result(row: _Row, reference: _Row, wanted: float, tolerance: float, label: str) -> DeploymentResult:
    effects, whole = _effects(row), _effects(reference)
    retained = ratio_interval(effects.tolist(), whole.tolist())
    change = (row.tuned.general - row.base.general).astype(np.float64)
    around = mean_interval(change.tolist())
    sizes = float(np.linalg.norm(effects) * np.linalg.norm(whole))
    share = float(effects.mean() / whole.mean())
    verdict, reason = verdict_on(share, retained, around, wanted, tolerance)
    return DeploymentResult(
        type=label,
        mode=row.mode,
        size=row.size,
        load_seconds=row.cost.load_seconds,
        peak_memory=row.cost.peak_memory,
        prompt_speed=row.cost.prompt_speed,
        generation_speed=row.cost.generation_speed,
        floor=float(np.mean([kl(p, q) for p, q in zip(reference.base.rows, row.base.rows, strict=True)])),
        effect=float(effects.mean()),
        retained=share,
        retained_interval=retained and (retained.low, retained.high),
        cosine=float(effects @ whole) / sizes if sizes > 0 else 0.0,
        top1_agreement=float((row.tuned.rows.argmax(axis=1) == reference.tuned.rows.argmax(axis=1)).mean()),
        collateral=float(change.mean()),
        collateral_interval=around and (around.low, around.high),
        verdict=verdict,
        reason=reason,
    )
