"""How `sway-gguf pick` runs: all adapters at once, or checkpoints as they come. Knows the order of things."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sway_gguf.cli.output import say
from sway_gguf.cli.progress import progress_bar
from sway_gguf.core.errors import UserError

if TYPE_CHECKING:
    from sway_gguf.artifacts.lora import LoraAdapter
    from sway_gguf.choose.contenders import Contender, Found
    from sway_gguf.choose.pick import Picking
    from sway_gguf.core.pick import Pick, PickPlan
    from sway_gguf.engine.doors import DoorBackend
    from sway_gguf.engine.store import AnswerStore
    from sway_gguf.spec.model import Spec
    from sway_gguf.spec.models import AdapterSpec

SpecOf = Callable[[Path], "Spec"]
"""The spec of a pick, from any one of its adapters."""
Beside = Sequence["AdapterSpec"]
"""What is loaded beside every candidate, with its own text where that was given."""


def ready(
    spec_of: SpecOf, found: Sequence[Found], scales: Sequence[float], tolerance: float, beside: Beside = ()
) -> tuple[Picking, list[Contender]]:
    """All that can be checked before a model is loaded; `beside` is what is there beside every candidate.

    Raises:
        UserError: a wrong file, or too little text.
    """
    from sway_gguf.choose.contenders import contenders

    picking = _begun(spec_of, found[0], tolerance, beside)
    chosen, remarks = contenders(found, picking.prepared.base, scales, picking.fixed)
    picking.remarks = [*picking.remarks, *remarks]
    return picking, chosen


def _begun(spec_of: SpecOf, first: Found, tolerance: float, beside: Beside) -> Picking:
    from sway_gguf.choose.contenders import being_written
    from sway_gguf.choose.fixed import read_fixed
    from sway_gguf.choose.pick import Picking, prepared_pick

    with being_written(first):
        prepared, asked = prepared_pick(spec_of(first.path))
    fixed = read_fixed([each.lora for each in beside], prepared.base)
    fixed = fixed.with_texts(beside, prepared.texts.speech)
    return Picking(prepared, asked, tolerance, fixed.remarks, fixed)


def picked(picking: Picking, contenders: Sequence[Contender], store: AnswerStore) -> Pick:
    """Measure all and choose."""
    from sway_gguf.choose.cost import cost_of

    with picking.prepared.opened(store) as backend:
        cost = cost_of(picking, contenders, backend.count_tokens_of)
        with progress_bar(cost.least, cost.most) as advance:
            picking.measure(backend, contenders, advance)
            return picking.result(backend, advance)


def plan_of(picking: Picking, contenders: Sequence[Contender]) -> PickPlan:
    """What it will cost. Reads the tokenizer, loads no weights."""
    from sway_gguf.choose.cost import cost_of
    from sway_gguf.engine.counting import counter

    prepared = picking.prepared
    with counter(prepared.base.path, prepared.engine, prepared.base.context_length) as count:
        return cost_of(picking, contenders, count)


def followed(
    folder: Path,
    spec_of: SpecOf,
    store: AnswerStore,
    *,
    scales: Sequence[float],
    tolerance: float,
    patience: int,
    every: float,
    beside: Beside = (),
) -> Pick:
    """Measure checkpoints as they come, until going on no longer pays or the training ended; then choose.

    Raises:
        UserError: a checkpoint that cannot be used, or too little text.
    """
    from sway_gguf.choose.contenders import each_scale, loaded_anyway
    from sway_gguf.choose.cost import view_of
    from sway_gguf.choose.stopping import why_stop
    from sway_gguf.watch.training import Training

    training = Training(folder)
    news = training.follow(every, lambda line: say(line, err=True))
    new, why = next(news), ""
    picking = _begun(spec_of, new[0], tolerance, beside)
    seen, copies = loaded_anyway(picking.fixed), list[str]()
    with picking.prepared.opened(store) as backend:
        view = view_of(picking, backend.count_tokens_of)
        while True:
            for each, name, adapter in _others(new, folder, picking, seen, copies):
                candidates = list(each_scale(each, name, len(seen), adapter, scales))
                before = (1 + bool(picking.fixed.members)) * (picking.base is None)
                with progress_bar(view * (len(candidates) + before)) as advance:
                    picking.measure(backend, candidates, advance)
                say(_line(picking, len(scales)), err=True)
                why = why or why_stop(picking, patience)
            if why or training.ended:
                break
            new = next(news)
        say(f"stop: {why}" if why else "the training ended", err=True)
        return _chosen(folder, picking, backend, copies)


def _others(
    new: Sequence[Found], folder: Path, picking: Picking, seen: dict[str, str], copies: list[str]
) -> Iterator[tuple[Found, str, LoraAdapter]]:
    """Of new checkpoints those with a content of their own, by name; `seen` and `copies` gain what was met.

    Raises:
        UserError: one cannot be used.
    """
    from sway_gguf.choose.contenders import FINAL, copied
    from sway_gguf.engine.identity import adapter_digest

    for each in new:
        name = FINAL if each.path == folder else each.path.name
        adapter = _read(each.path, picking)
        if adapter is None:
            continue
        first = seen.setdefault(adapter_digest(adapter), name)
        if first == name:
            yield each, name, adapter
        else:
            copies.append(copied(name, first))
            say(copies[-1], err=True)


def _chosen(folder: Path, picking: Picking, backend: DoorBackend, copies: Sequence[str]) -> Pick:
    """The choice among all checkpoints that were measured and are still there.

    Raises:
        UserError: none was.
    """
    from sway_gguf.choose.contenders import none_left
    from sway_gguf.choose.cost import cost_of

    picking.forget_gone()
    picking.remarks = [*picking.remarks, *copies]
    if not picking.contenders and copies:
        raise none_left(copies)
    if not picking.contenders:
        raise UserError(f"{folder}: its checkpoints were removed before they could be read; have the trainer keep them")
    cost = cost_of(picking, picking.contenders, backend.count_tokens_of)
    with progress_bar(cost.least - cost.candidates_alone, cost.most - cost.candidates_alone) as advance:
        return picking.result(backend, advance)


def _read(path: Path, picking: Picking) -> LoraAdapter | None:
    """A checkpoint; None where the trainer has removed it by now.

    Raises:
        UserError: it cannot be used.
    """
    from sway_gguf.artifacts.adapter import read_adapter

    try:
        return read_adapter(path, picking.prepared.base)
    except (UserError, OSError):
        if path.exists():
            raise
        return None


def _line(picking: Picking, scales: int) -> str:
    """The newest checkpoint's numbers."""
    from sway_gguf.report.pick import line_of

    return "; ".join(line_of(row) for row in picking.rows()[-scales:])
