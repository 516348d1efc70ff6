"""From a spec to probes with their text: everything that can be checked before a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.chat import chat_renderer
from sway_gguf.artifacts.checkpoint import read_checkpoint
from sway_gguf.artifacts.digest import sha256_of
from sway_gguf.artifacts.facts import adapter_facts
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.core.errors import UserError
from sway_gguf.core.result import ProbeResult, Verdict
from sway_gguf.core.sections import Material
from sway_gguf.core.views import NullDesign
from sway_gguf.engine.settings import EngineSettings
from sway_gguf.material.chunks import chunk, prompts_from, spread
from sway_gguf.material.packaged import general_prompts, general_sections
from sway_gguf.material.read import read_material
from sway_gguf.probes.base import Probe, Sources
from sway_gguf.probes.registry import KINDS, build_probes
from sway_gguf.spec.model import Defaults, Engine, Models, ModelSpec, Spec
from sway_gguf.spec.null_adapter import with_null_settings

Item = TypeVar("Item")


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start.

    Attributes:
        spec: as given.
        base, adapter: their headers; they fit.
        adapter_hash: sha256 of the adapter's file.
        probes: that will run, in order.
        skipped: results of those that will not.
    """

    spec: Spec
    base: BaseModel
    adapter: LoraAdapter
    adapter_hash: str
    probes: tuple[Probe[Any], ...]
    skipped: tuple[ProbeResult, ...]

    @property
    def design(self) -> NullDesign:
        """How nulls are drawn."""
        defaults = self.spec.defaults
        return NullDesign(defaults.null_design, defaults.rank_scale, defaults.init_scale, defaults.null_energy)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the nulls: apart for runs of different seed."""
        first = self.spec.defaults.seed * 1000 + 1
        return tuple(range(first, first + self.spec.defaults.nulls))

    @property
    def engine(self) -> EngineSettings:
        """The engine's settings."""
        return EngineSettings(**self.spec.engine.model_dump())

    def with_remarks(self, remarks: tuple[str, ...]) -> Prepared:
        """The same run with these remarks on its spec."""
        return replace(self, spec=self.spec.model_copy(update={"remarks": remarks}))

    @property
    def needs_model(self) -> bool:
        """Whether any probe asks something of the model."""
        return any(not probe.static for probe in self.probes)


def default_spec(
    base: Path,
    adapter: Path,
    *,
    data: Path | None = None,
    general: Path | None = None,
    defaults: Defaults | None = None,
    engine: Engine | None = None,
    kinds: Sequence[str] | None = None,
) -> Spec:
    """A spec with `kinds` of probes under their default options; all quick ones by default."""
    return Spec(
        models=Models(base=ModelSpec(base=base), ft=ModelSpec(base=base, adapter=adapter)),
        data=data,
        general=general,
        defaults=defaults or Defaults(),
        engine=engine or Engine(),
        suite=[{"name": kind, "kind": kind} for kind in kinds or quick_kinds()],
    )


def quick_kinds() -> list[str]:
    """Kinds that neither generate text nor need more than the adapter and its text."""
    return [kind for kind, probe in KINDS.items() if probe.quick]


def prepare(spec: Spec, material: Material | None = None) -> Prepared:
    """Check everything that can be checked without the engine.

    Args:
        spec: what to run.
        material: in place of the spec's data file.

    Raises:
        UserError: a wrong file, entry or fit.
    """
    spec = with_null_settings(spec)
    if not spec.suite:
        raise UserError("the suite is empty; give at least one entry of {name, kind}")
    base = read_base(spec.models.base.base)
    if spec.models.ft.adapter is None:
        raise UserError("no adapter to test; name one in models.ft.adapter")
    adapter = read_adapter(spec.models.ft.adapter, base)
    digest = sha256_of(adapter.path)
    sources = replace(
        sources_of(spec, material),
        adapter_hash=digest,
        adapter=partial(adapter_facts, adapter),
        chat=chat_renderer(base.path),
        checkpoint=cache(read_checkpoint),
        embedder=spec.engine.embedder.name if spec.engine.embedder else "",
        context=EngineSettings(context=spec.engine.context).width(base.context_length),
    )
    probes = build_probes(spec.suite, sources)
    ready = tuple(probe for probe in probes if not _why_not(probe))
    if not ready:
        reasons = "; ".join(f"{probe.options.name}: {_why_not(probe)}" for probe in probes)
        raise UserError(f"no probe of the suite can run: {reasons}")
    return Prepared(spec, base, adapter, digest, ready, tuple(_skipped(p) for p in probes if _why_not(p)))


def sources_of(spec: Spec, material: Material | None = None) -> Sources:
    """The text that the spec's probes draw on: the user's, or the package's where none is given."""
    if material is None:
        material = read_material(spec.data) if spec.data else Material()
    holdout = read_material(spec.holdout).sections if spec.holdout else ()
    general = _texts(read_material(spec.general)) if spec.general else general_sections()
    pieces = tuple(piece for text in general for piece in chunk(text, spec.defaults.chunk_chars))
    prompts: Sequence[str] = prompts_from(material.sections, spec.defaults.prompts)
    if not prompts:
        prompts = general_prompts()[: spec.defaults.prompts]
    most = spec.defaults.items
    return Sources(
        sections=_at_most(material.sections, most),
        preferences=_at_most(material.preferences, most),
        paraphrases=_at_most(material.paraphrases, most),
        canaries=material.canaries,
        holdout=_at_most(holdout, most),
        general=_at_most(pieces, most),
        prompts=_at_most(tuple(prompts), most),
        seed=spec.defaults.seed,
        folder=spec.folder,
    )


def _at_most(items: tuple[Item, ...], most: int | None) -> tuple[Item, ...]:
    """At most so many, evenly spaced."""
    return tuple(spread(items, most or len(items)))


def _texts(material: Material) -> list[str]:
    """General text as pieces to be cut up; short neighbours are joined so that pieces reach a useful length."""
    return ["\n\n".join((section.prompt + section.text) for section in material.sections)]


def _why_not(probe: Probe[Any]) -> str:
    missing: str = probe.missing()
    return missing if probe.options.enabled else "disabled in the spec"


def _skipped(probe: Probe[Any]) -> ProbeResult:
    return ProbeResult(probe.options.name, probe.kind, probe.axis, Verdict.SKIP, _why_not(probe), probe.unit)
