"""From a spec to probes with their text: everything that can be checked before a model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.checkpoint import read_checkpoint
from sway_gguf.artifacts.digest import sha256_of
from sway_gguf.artifacts.facts import adapter_facts
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.core.candidates import Candidate, Thought
from sway_gguf.core.errors import UserError
from sway_gguf.core.result import ProbeResult, Verdict
from sway_gguf.core.sections import Material, Section, distinct, said
from sway_gguf.core.views import NullDesign
from sway_gguf.engine.settings import EngineSettings
from sway_gguf.material.chunks import chunk, prompts_from, spread
from sway_gguf.material.controls import unrelated
from sway_gguf.material.files import Files, as_named, origin
from sway_gguf.material.packaged import exchanges, general_prompts, general_sections
from sway_gguf.material.read import read_material
from sway_gguf.probes.base import Probe, Sources
from sway_gguf.probes.registry import KINDS, build_probes
from sway_gguf.spec.model import Defaults, Engine, Models, ModelSpec, Spec
from sway_gguf.spec.null_adapter import with_null_settings
from sway_gguf.stats.bootstrap import MIN_ITEMS
from sway_gguf.suite.candidates import candidates, thoughts
from sway_gguf.suite.room import Room
from sway_gguf.suite.speech import Speech, speech_of
from sway_gguf.suite.template_fit import beside_adapter

Item = TypeVar("Item")


@dataclass(frozen=True)
class Texts:
    """The text of a run as it was read, each text once, before items are picked from it.

    Attributes:
        material: what the adapter was trained on.
        holdout: text like it that was kept out of training.
        general: the user's unrelated text, as it was read; empty for the package's.
        speech: how all of it is put; material and holdout are.
        candidates, thoughts: what `Sources` calls so; rendered once, however often a run is cut.
        remarks: on what was left out.
    """

    material: Material
    holdout: tuple[Section, ...]
    general: tuple[Section, ...]
    speech: Speech
    candidates: Callable[[int], tuple[Candidate, ...]]
    thoughts: Callable[[int], tuple[Thought, ...]]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start.

    Attributes:
        spec: as given.
        base, adapter: their headers; they fit.
        adapter_hash: sha256 of the adapter's file.
        texts: what its items were picked from.
        probes: that will run, in order.
        skipped: results of those that will not.
        room: what the context holds.
        left_out: remarks on prompts that the context does not hold.
    """

    spec: Spec
    base: BaseModel
    adapter: LoraAdapter
    adapter_hash: str
    texts: Texts
    room: Room
    probes: tuple[Probe[Any], ...]
    skipped: tuple[ProbeResult, ...]
    left_out: tuple[str, ...]

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

    def with_defaults(self, **changed: object) -> Prepared:
        """The same run with other defaults; no file is read again.

        Raises:
            UserError: no probe is left that could run.
        """
        spec = self.spec.model_copy(update={"defaults": self.spec.defaults.model_copy(update=changed)})
        room = Room(self.base, self.room.width)
        found = _probes(spec, self.texts, self.base, self.adapter, self.adapter_hash, room)
        return replace(self, spec=spec, room=room, probes=found[0], skipped=found[1], left_out=found[2])

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
    data: Files = None,
    holdout: Files = None,
    general: Files = None,
    defaults: Defaults | None = None,
    engine: Engine | None = None,
    kinds: Sequence[str] | None = None,
) -> Spec:
    """A spec with `kinds` of probes under their default options; all quick ones by default."""
    return Spec(
        models=Models(base=ModelSpec(base=base), ft=ModelSpec(base=base, adapter=adapter)),
        data=as_named(data),
        holdout=as_named(holdout),
        general=as_named(general),
        defaults=defaults or Defaults(),
        engine=engine or Engine(),
        suite=[{"name": kind, "kind": kind} for kind in kinds] if kinds else quick_suite(),
    )


def quick_suite() -> list[dict[str, Any]]:
    """Kinds that neither generate text nor need more than the adapter and its text, as entries of a suite."""
    return [{"name": kind, "kind": kind, **probe.quick_options} for kind, probe in KINDS.items() if probe.quick]


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
    digest, texts = sha256_of(adapter.path), read_texts(spec, material)
    spec = spec.model_copy(update={"remarks": (*spec.remarks, *texts.remarks, *_other_template(spec, texts.speech))})
    room = Room(base, EngineSettings(context=spec.engine.context).width(base.context_length))
    return Prepared(spec, base, adapter, digest, texts, room, *_probes(spec, texts, base, adapter, digest, room))


def _probes(
    spec: Spec, texts: Texts, base: BaseModel, adapter: LoraAdapter, adapter_hash: str, room: Room
) -> tuple[tuple[Probe[Any], ...], tuple[ProbeResult, ...], tuple[str, ...]]:
    """The probes that can run, the results of those that cannot, and remarks on what the context does not hold."""
    sources = replace(
        picked(spec, texts),
        adapter_hash=adapter_hash,
        adapter=partial(adapter_facts, adapter),
        checkpoint=cache(read_checkpoint),
        embedder=spec.engine.embedder.name if spec.engine.embedder else "",
        context=room.width,
        holds=room.holds,
    )
    probes = build_probes(spec.suite, sources)
    ready = tuple(probe for probe in probes if not _why_not(probe))
    for probe in ready:
        probe.ask()  # Only by asking does a probe find what the context does not hold.
    left_out = room.left_out(_origins(spec, texts.material))
    if not ready:
        reasons = "; ".join([*(f"{probe.options.name}: {_why_not(probe)}" for probe in probes), *left_out])
        raise UserError(f"no probe of the suite can run: {reasons}")
    return ready, tuple(_skipped(probe) for probe in probes if _why_not(probe)), left_out


def read_texts(spec: Spec, material: Material | None = None) -> Texts:
    """Read the spec's text, the user's, or the package's where none is given, and put it as the run's format has it.

    Args:
        spec: names the files.
        material: in place of its data file.

    Raises:
        UserError: a file cannot be read, or a template refuses what it says.
    """
    if material is None:
        material = read_material(spec.data) if spec.data else Material()
    holdout = read_material(spec.holdout).sections if spec.holdout else ()
    general = read_material(spec.general).sections if spec.general else ()
    once, speech = material.each_once(), speech_of(spec, material)
    trained, unseen = speech.material(once, spec.data), speech.units(distinct(holdout), spec.holdout)
    seen = set(map(said, trained.sections))
    kept_out = tuple(section for section in unseen if said(section) not in seen)
    remarks = (*_copies(material), *_seen(len(unseen) - len(kept_out), len(unseen)))
    put = cache(partial(candidates, spec, speech, once.sections))
    thought = cache(lambda count: thoughts(speech, [_asked(each) for each in exchanges("dialogue")[:count]]))
    return Texts(trained, kept_out, distinct(general), speech, put, thought, remarks)


def _other_template(spec: Spec, speech: Speech) -> tuple[str, ...]:
    """A remark where the adapter's folder carries another template than the base's own, in which the run speaks."""
    folder = spec.models.ft.adapter
    if folder is None or not speech.is_bases_own:
        return ()
    try:
        found = beside_adapter(folder, spec.models.base.base, spec.template_kwargs)
    except UserError as error:
        return (f"the chat template in the adapter's folder was not compared: {error}",)
    told = f"the adapter's folder carries another chat template than the base ({found}); --format {folder} takes it"
    return (told,) if found else ()


def picked(spec: Spec, texts: Texts) -> Sources:
    """The text that the spec's probes draw on; the package's general text where none was given."""
    material, holdout, size = texts.material, texts.holdout, spec.defaults.chunk_chars
    general = [_joined(texts.general)] if texts.general else general_sections()
    pieces = tuple(dict.fromkeys(piece for text in general for piece in chunk(text, size)))
    prompts: Sequence[str] = prompts_from(material.sections, spec.defaults.prompts)
    if not prompts:
        prompts = neutral_prompts(texts.speech)[: spec.defaults.prompts]
    most, speech = spec.defaults.items, texts.speech
    controls = unrelated(material.sections, texts.general, pieces, exchanges)
    return Sources(
        sections=_at_most(material.sections, most),
        preferences=_at_most(material.preferences, most),
        paraphrases=_at_most(material.paraphrases, most),
        canaries=material.canaries,
        holdout=_at_most(holdout, most),
        general=_at_most(pieces, most),
        controls=speech.units(_at_most(controls, most), spec.general),
        everyday=_at_most(_everyday(spec, texts), most),
        prompts=_at_most(tuple(prompts), most),
        chat=speech.chat,
        request=cache(speech.request),
        spoken=cache(speech.unit),
        requests=speech.requests,
        reworded=cache(speech.reworded),
        candidates=lambda count: texts.candidates(min(count, most or count)),
        thoughts=texts.thoughts,
        seed=spec.defaults.seed,
        folder=spec.folder,
    )


def neutral_prompts(speech: Speech) -> list[str]:
    """Prompts that ship with the package: everyday requests where the run speaks in a template."""
    if speech.template is None:
        return general_prompts()
    return [section.prompt for section in speech.units(exchanges("dialogue"), None)]


def _everyday(spec: Spec, texts: Texts) -> tuple[Section, ...]:
    """Unrelated requests with replies: the user's where general text holds enough of them, else the package's."""
    speech = texts.speech.instructed()
    if speech is None:
        return ()
    own = tuple(section for section in texts.general if section.dialogue)
    if len(own) >= MIN_ITEMS:
        return speech.units(own, spec.general)
    return speech.units(exchanges("dialogue"), None)


def _asked(section: Section) -> str:
    """What the user asks first."""
    assert section.dialogue is not None
    return section.dialogue.turns[0].content


def _origins(spec: Spec, material: Material) -> dict[str, str]:
    """Where prompts of the data stand, by the prompt."""
    return {section.prompt: f"{origin(spec.data)}, {section.id}" for section in material.sections if section.prompt}


def _copies(material: Material) -> tuple[str, ...]:
    """A remark on units that say what another one says: a copy is no item."""
    dropped = material.count - material.each_once().count
    told = f"{dropped} of the data's {material.count} items are copies of others and were dropped"
    return (told,) if dropped else ()


def _seen(dropped: int, of: int) -> tuple[str, ...]:
    """A remark on items of the holdout that stand in the data."""
    told = f"{dropped} of the holdout's {of} items stand in the data too and were dropped from the holdout"
    return (told,) if dropped else ()


def _at_most(items: tuple[Item, ...], most: int | None) -> tuple[Item, ...]:
    """At most so many, evenly spaced."""
    return tuple(spread(items, most or len(items)))


def _joined(sections: Sequence[Section]) -> str:
    """General text to be cut up; short neighbours are joined so that pieces reach a useful length."""
    return "\n\n".join((section.prompt + section.text) for section in sections)


def _why_not(probe: Probe[Any]) -> str:
    missing: str = probe.missing()
    return missing if probe.options.enabled else "disabled in the spec"


def _skipped(probe: Probe[Any]) -> ProbeResult:
    return ProbeResult(probe.options.name, probe.kind, probe.axis, Verdict.SKIP, _why_not(probe), probe.unit)
