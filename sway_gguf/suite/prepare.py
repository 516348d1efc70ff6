"""From a spec to probes with their text: everything that can be checked before a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.checkpoint import read_checkpoint
from sway_gguf.artifacts.digest import sha256_of
from sway_gguf.artifacts.facts import stack_facts
from sway_gguf.artifacts.kin import vectors_digest
from sway_gguf.artifacts.lora import LoraAdapter, unrunnable
from sway_gguf.artifacts.stack import Stack, read_stack
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.loras import Lora, short_names, stack_key
from sway_gguf.core.measured_costs import read_costs
from sway_gguf.core.result import ProbeResult, Verdict
from sway_gguf.core.sections import Material
from sway_gguf.core.toll import Costs
from sway_gguf.core.views import NullDesign
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.factory import gives, open_backend
from sway_gguf.engine.store import AnswerStore
from sway_gguf.material.files import Files, as_named, origin
from sway_gguf.probes.base import Probe
from sway_gguf.probes.registry import all_kinds, build_probes, kinds_by_default
from sway_gguf.spec.model import Defaults, Spec, with_adapters
from sway_gguf.spec.models import AdapterSpec, Models, ModelSpec, Tested
from sway_gguf.spec.null_adapter import with_null_settings
from sway_gguf.suite.able import suited
from sway_gguf.suite.entries import check_entries, with_sets_probes
from sway_gguf.suite.room import Room
from sway_gguf.suite.showing import Example, example_of
from sway_gguf.suite.texts import Texts, other_template, picked, read_texts
from sway_gguf.suite.trained import with_training, without_training

_FIRST_ITEMS, _FIRST_PROMPTS, FIRST_CHARS = 32, 16, 400
"""Enough for a lift of 0.1 nats per token, and few for a large model."""


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start.

    Attributes:
        spec: as given.
        base, stack: the base's header, and the adapters that run together; they fit.
        hashes: sha256 of each adapter's file.
        adapter_hash: that of the only adapter; of a set all of them, with the scales.
        texts: what its items were picked from.
        probes: that will run, in order.
        skipped: results of those that will not.
        room: what the context holds.
        left_out: remarks on prompts that the context does not hold.
        example: what is asked to be shown.
        costs: what quantizing cost this base, where that was measured.
    """

    spec: Spec
    base: BaseModel
    stack: Stack
    hashes: tuple[str, ...]
    adapter_hash: str
    texts: Texts
    room: Room
    probes: tuple[Probe[Any], ...]
    skipped: tuple[ProbeResult, ...]
    left_out: tuple[str, ...]
    example: Example
    costs: Costs | None = None

    @property
    def design(self) -> NullDesign:
        """How nulls are drawn."""
        defaults = self.spec.defaults
        return NullDesign(defaults.null_design, defaults.rank_scale, defaults.init_scale, defaults.null_energy)

    @property
    def adapter(self) -> LoraAdapter:
        """The only adapter, for what works with one at its own scale.

        Raises:
            UserError: there are several, or it has another scale.
        """
        lone = self.stack.lone
        if lone is None:
            raise UserError(
                f"{self.name}: this works with one adapter at scale 1; merge a set into its base with sway-gguf merge, "
                "or take its adapters one by one"
            )
        return lone

    @property
    def name(self) -> str:
        """What is tested, as it was named."""
        return " + ".join(map(str, self.spec.models.ft.loras))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the nulls: apart for runs of different seed."""
        first = self.spec.defaults.seed * 1000 + 1
        return tuple(range(first, first + self.spec.defaults.nulls))

    @property
    def engine(self) -> EngineSettings:
        """The engine's settings."""
        return self.spec.engine

    def opened(self, store: AnswerStore | None = None) -> DoorBackend:
        """The model and its adapter, by the backend that the spec's `models.kind` names; to be closed.

        Args:
            store: of answers, which has to stay open as long; without one everything is asked.

        Raises:
            EngineError: the engine refused what the checks let pass.
        """
        models = self.spec.models
        return open_backend(self.base, self.stack, self.engine, kind=models.kind, store=store, endpoint=models.endpoint)

    def with_defaults(self, **changed: object) -> Prepared:
        """The same run with other defaults; no file is read again.

        Raises:
            UserError: no probe is left that could run.
        """
        spec = self.spec.model_copy(update={"defaults": self.spec.defaults.model_copy(update=changed)})
        room = Room(self.base, self.room.width)
        probes, skipped, left_out, example = _probes(spec, self.texts, self.stack, self.adapter_hash, room)
        ready = replace(self, spec=spec, room=room, probes=probes, skipped=skipped, left_out=left_out, example=example)
        return _able(ready)

    def with_adapter(self, path: Path) -> Prepared:
        """The same run of another adapter; neither base nor texts are read again.

        Raises:
            UserError: it cannot be read, does not fit the base, or leaves no probe that could run.
        """
        return self.with_loras([Lora(path)])

    def with_loras(self, loras: Sequence[Lora]) -> Prepared:
        """The same of a set of adapters.

        Raises:
            UserError: as `with_adapter`.
        """
        adapters = [AdapterSpec(path=lora.path, scale=lora.scale) for lora in loras]
        spec = with_sets_probes(with_training(with_adapters(without_training(self.spec), adapters)))
        ready = _ready(spec, self.base, read_stack(loras, self.base), self.texts, self.room.width)
        return replace(ready, costs=self.costs)

    def with_costs(self, quants: Path | None) -> Prepared:
        """The same run with what quantizing cost the base, as `quants` wrote it; None changes nothing.

        Raises:
            UserError: as `read_costs`.
        """
        if quants is None:
            return self
        costs, remark = read_costs(quants, self.base.parameters, vectors_digest(self.base))
        ready = self.with_remarks((*self.spec.remarks, remark)) if remark else self
        return replace(ready, costs=costs)

    def with_remarks(self, remarks: tuple[str, ...]) -> Prepared:
        """The same run with these remarks on its spec."""
        return replace(self, spec=self.spec.model_copy(update={"remarks": remarks}))

    @property
    def needs_model(self) -> bool:
        """Whether any probe asks something of the model."""
        return any(not probe.static for probe in self.probes)


def default_spec(
    base: Path,
    adapter: Tested,
    *,
    data: Files = None,
    holdout: Files = None,
    general: Files = None,
    defaults: Defaults | None = None,
    engine: EngineSettings | None = None,
    kinds: Sequence[str] | None = None,
) -> Spec:
    """A spec with `kinds` of probes under their default options; all quick ones by default."""
    members = [AdapterSpec(path=adapter)] if isinstance(adapter, Path) else adapter
    spec = Spec(
        models=Models(base=ModelSpec(base=base), ft=ModelSpec(base=base)),
        data=as_named(data),
        holdout=as_named(holdout),
        general=as_named(general),
        defaults=defaults or Defaults(),
        engine=engine or EngineSettings(),
        suite=[{"name": kind, "kind": kind} for kind in kinds] if kinds else quick_suite(),
    )
    return with_adapters(spec, members)


def first_spec(
    base: Path, adapter: Tested, *, data: Files = None, holdout: Files = None, general: Files = None
) -> Spec:
    """The spec of a first verdict, as `check` gives it: all quick probes, on few items of each kind."""
    few = Defaults(items=_FIRST_ITEMS, prompts=_FIRST_PROMPTS, chunk_chars=FIRST_CHARS)
    return default_spec(base, adapter, data=data, holdout=holdout, general=general, defaults=few)


def quick_suite() -> list[dict[str, Any]]:
    """Kinds that neither generate text nor need more than the adapter and its text, plugins' among them."""
    kinds = all_kinds()
    quick = (kind for kind in kinds_by_default() if kinds[kind].quick)
    return [{"name": kind, "kind": kind, **kinds[kind].quick_options} for kind in quick]


def prepare(spec: Spec, material: Material | None = None) -> Prepared:
    """Check everything that can be checked without the engine.

    Args:
        spec: what to run.
        material: in place of the spec's data file.

    Raises:
        UserError: a wrong file, entry or fit.
    """
    check_entries(spec)
    spec = with_sets_probes(with_training(with_null_settings(spec)))
    if not spec.suite:
        raise UserError(spec.told("the suite is empty; give at least one entry of {name, kind}"))
    base = read_base(spec.models.base.base)
    if not spec.models.ft.members:
        raise UserError(spec.told("no adapter to test; name one in models.ft.adapter"))
    stack, texts = read_stack(spec.models.ft.loras, base), read_texts(spec, material)
    if why := next(filter(None, (unrunnable(adapter, base) for adapter in stack.adapters)), ""):
        raise UserError(f"{why}; merge it, or train without the embedding")
    told = (*stack.said, *texts.remarks, *other_template(spec, texts.speech))
    spec = spec.model_copy(update={"remarks": (*spec.remarks, *told)})
    known = gives(spec.models.kind)
    width = spec.engine.width(base.context_length) - (known.margin if known else 0)
    return _ready(spec, base, stack, texts, width)


def _ready(spec: Spec, base: BaseModel, stack: Stack, texts: Texts, width: int) -> Prepared:
    room, hashes = Room(base, width), tuple(sha256_of(adapter.path) for adapter in stack.adapters)
    key = stack_key([(digest, each.scale) for digest, each in zip(hashes, stack.members, strict=True)])
    return _able(Prepared(spec, base, stack, hashes, key, texts, room, *_probes(spec, texts, stack, key, room)))


def _able(prepared: Prepared) -> Prepared:
    """The run without what its kind of backend is known to lack, so that a plan has nothing of it."""
    known = gives(prepared.spec.models.kind)
    return suited(prepared, known, nulls_or_none=True) if known else prepared


def _probes(
    spec: Spec, texts: Texts, stack: Stack, adapter_hash: str, room: Room
) -> tuple[tuple[Probe[Any], ...], tuple[ProbeResult, ...], tuple[str, ...], Example]:
    """The probes that can run, the results of those that cannot, remarks on what the context does not hold, and what
    is shown beside."""
    sources = replace(
        picked(spec, texts),
        adapter_hash=adapter_hash,
        adapter=partial(stack_facts, stack, short_names(spec.models.ft.loras)),
        likeness=cache(stack.cosine),
        checkpoint=cache(read_checkpoint),
        embedder=spec.engine.embedder.name if spec.engine.embedder else "",
        context=room.width,
        holds=room.holds,
    )
    probes = build_probes(spec.suite, sources)
    reasons = [(probe, _why_not(probe)) for probe in probes]
    ready = tuple(probe for probe, why in reasons if not why)
    for probe in ready:
        probe.ask()  # Only by asking does a probe find what the context does not hold.
    left_out = room.left_out(_origins(spec, texts.material))
    if not ready:
        told = "; ".join([*(f"{probe.options.name}: {why}" for probe, why in reasons), *left_out])
        raise UserError(spec.told(f"no probe of the suite can run: {told}"))
    skipped = tuple(probe.result(Verdict.SKIP, why) for probe, why in reasons if why)
    return ready, skipped, left_out, example_of(sources, spec.defaults.show or 0)


def _origins(spec: Spec, material: Material) -> dict[str, str]:
    """Where prompts of the data stand, by the prompt."""
    return {section.prompt: f"{origin(spec.data)}, {section.id}" for section in material.sections if section.prompt}


def _why_not(probe: Probe[Any]) -> str:
    return probe.missing() if probe.options.enabled else "disabled in the spec"
