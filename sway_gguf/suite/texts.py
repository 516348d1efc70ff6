"""The text of a run: read once, put as the run's format has it once, and the items picked that probes draw on.

Knows data files and formats; neither models nor what is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TypeVar, overload

from sway_gguf.core.candidates import Candidate, Thought
from sway_gguf.core.errors import EngineError, UserError
from sway_gguf.core.loras import short_names
from sway_gguf.core.panel import sample_of
from sway_gguf.core.sections import Material, Section, alike, distinct
from sway_gguf.material.apart import apart
from sway_gguf.material.chunks import chunk, prompts_from, spread
from sway_gguf.material.controls import unrelated
from sway_gguf.material.files import Files
from sway_gguf.material.packaged import exchanges, general_prompts, general_sections
from sway_gguf.material.read import read_material
from sway_gguf.probes.sources import SetMember, Sources
from sway_gguf.spec.model import Spec
from sway_gguf.spec.models import AdapterSpec
from sway_gguf.stats.interval import MIN_ITEMS
from sway_gguf.suite.candidates import candidates, thoughts
from sway_gguf.suite.speech import Speech, speech_of
from sway_gguf.suite.two_templates import beside_adapter

Item = TypeVar("Item")
_BESIDE = {
    "holdout": "the holdout holds {} alone and no text, so nothing was held out",
    "general": "the general text holds {} alone and no text: packaged text takes its place",
}
"""What may be given beside the data, and what is said where it holds nothing of use."""


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
        own: by the file of an adapter of a set, what it alone was trained on, or text like it that was kept out.
    """

    material: Material
    holdout: tuple[Section, ...]
    general: tuple[Section, ...]
    speech: Speech
    candidates: Callable[[int], tuple[Candidate, ...]]
    thoughts: Callable[[int], tuple[Thought, ...]]
    remarks: tuple[str, ...] = ()
    own: Mapping[Path, tuple[Section, ...]] = field(default_factory=dict)


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
    read = {role: read_material(given) for role in _BESIDE if (given := getattr(spec, role))}
    holdout, unrelated_text = (read.get(role, Material()).sections for role in _BESIDE)
    general = distinct(unrelated_text)
    once, speech = material.each_once(), speech_of(spec, material)
    unseen = distinct(holdout)
    kept_out = apart(unseen, once.sections)
    kept_apart = apart(general, (*once.sections, *holdout))
    remarks = (
        *_copies(material),
        *_no_text(read),
        *_seen(len(unseen) - len(kept_out), len(unseen)),
        *_trained_on(len(general) - len(kept_apart), len(general)),
    )
    put = cache(partial(candidates, spec, speech, once.sections))
    thought = cache(lambda count: thoughts(speech, [_first_asked(each) for each in exchanges("dialogue")[:count]]))
    own = {adapter.path: own_text(adapter, speech) for adapter in spec.models.ft.members if adapter.data}
    trained, held_out = speech.material(once, spec.data), speech.units(kept_out, spec.holdout)
    return Texts(trained, held_out, kept_apart, speech, put, thought, remarks, own)


def own_text(adapter: AdapterSpec, speech: Speech) -> tuple[Section, ...]:
    """Text of one adapter of a set: its holdout where that has enough, else its data.

    Raises:
        UserError: a file cannot be read, or a template refuses what it says.
    """
    data = read_material(adapter.data).each_once()
    if adapter.holdout:
        kept_out = apart(distinct(read_material(adapter.holdout).sections), data.sections)
        if len(kept_out) >= MIN_ITEMS:
            return speech.units(kept_out, adapter.holdout)
    return speech.material(data, adapter.data).sections


def other_template(spec: Spec, speech: Speech) -> tuple[str, ...]:
    """A remark where the adapter's folder carries another template than the base's own, in which the run speaks."""
    if not speech.is_bases_own:
        return ()
    folders = dict.fromkeys(lora.path for lora in spec.models.ft.loras)
    return tuple(told for folder in folders if (told := _other_template(spec, folder)))


def _other_template(spec: Spec, folder: Path) -> str:
    try:
        found = beside_adapter(folder, spec.models.base.base, spec.template_kwargs)
    except (EngineError, UserError) as error:
        return f"the chat template in the adapter's folder was not compared: {error}"
    told = f"the adapter's folder carries another chat template than the base ({found}); --format {folder} takes it"
    return told if found else ""


def members_of(spec: Spec, texts: Texts) -> tuple[SetMember, ...]:
    """The adapters of a set, each with its own text; none for one adapter alone."""
    loras, most = spec.models.ft.loras, spec.defaults.items
    if len(loras) < 2:
        return ()
    named = zip(loras, short_names(loras), strict=True)
    owned = [(name, texts.own.get(lora.path, ())) for lora, name in named]
    return tuple(SetMember(name, _drawn(own, most), frozenset(map(alike, own))) for name, own in owned)


def picked(spec: Spec, texts: Texts) -> Sources:
    """The text that the spec's probes draw on; the package's general text where none was given."""
    material, holdout, size = texts.material, texts.holdout, spec.defaults.chunk_chars
    general = [_joined(texts.general)] if texts.general else general_sections()
    pieces = tuple(dict.fromkeys(piece for text in general for piece in chunk(text, size)))
    prompts: Sequence[str] = prompts_from(material.sections, spec.defaults.prompts)
    if not prompts:
        prompts = neutral_prompts(texts.speech, spec.defaults.prompts)
    most, speech = spec.defaults.items, texts.speech
    controls = unrelated(material.sections, texts.general, pieces, exchanges)
    return Sources(
        sections=_drawn(material.sections, most),
        preferences=_drawn(material.preferences, most),
        paraphrases=_drawn(material.paraphrases, most),
        canaries=material.canaries,
        holdout=_drawn(holdout, most),
        general=_at_most(pieces, most),
        controls=speech.units(_at_most(controls, most), spec.general),
        everyday=Everyday(spec, texts, most),
        prompts=_drawn(tuple(prompts), most),
        chat=speech.chat,
        request=cache(speech.request),
        spoken=cache(speech.unit),
        requests=speech.requests,
        reworded=cache(speech.reworded),
        candidates=lambda count: texts.candidates(min(count, most or count)),
        thoughts=texts.thoughts,
        seed=spec.defaults.seed,
        members=members_of(spec, texts),
        folder=spec.folder,
    )


def neutral_prompts(speech: Speech, most: int) -> list[str]:
    """At most so many prompts that ship with the package: everyday requests where the run speaks in a template."""
    if speech.template is None:
        return general_prompts()[:most]
    return [section.prompt for section in speech.units(exchanges("dialogue")[:most], None)]


class Everyday(Sequence[Section]):
    """Unrelated requests with replies: the user's where general text holds enough of them, else the package's.

    At most so many, evenly spaced. Each is put as the model speaks when it is looked at: many runs ask for none or few,
    and a template is rendered in a process of its own.
    """

    def __init__(self, spec: Spec, texts: Texts, most: int | None) -> None:
        self._spec, self._texts, self._most = spec, texts, most
        self._put: dict[int, Section] = {}

    @cached_property
    def _speech(self) -> Speech | None:
        return self._texts.speech.instructed()

    @cached_property
    def _chosen(self) -> tuple[tuple[Section, ...], Files]:
        """The requests as they were written, and where they are from."""
        own = tuple(section for section in self._texts.general if section.dialogue)
        if len(own) >= MIN_ITEMS:
            return _at_most(own, self._most), self._spec.general
        return _at_most(exchanges("dialogue"), self._most), None

    def __len__(self) -> int:
        return len(self._chosen[0]) if self._speech else 0

    @overload
    def __getitem__(self, place: int) -> Section: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Section, ...]: ...
    def __getitem__(self, place: int | slice) -> Section | tuple[Section, ...]:
        """One, or some.

        Raises:
            UserError: the template refuses it; it is named.
            IndexError: there is none.
        """
        wanted = range(len(self))[place]
        if isinstance(wanted, range):
            return tuple(self[each] for each in wanted)
        if wanted not in self._put:
            assert self._speech is not None
            written, source = self._chosen
            (self._put[wanted],) = self._speech.units(written[wanted : wanted + 1], source)
        return self._put[wanted]


def _first_asked(section: Section) -> str:
    """What the user asks first."""
    assert section.dialogue is not None
    return section.dialogue.turns[0].content


def _no_text(read: Mapping[str, Material]) -> Iterator[str]:
    """A remark on each file beside the data in which there is no text to ask about."""
    for role, found in read.items():
        if not found.sections:
            kinds = [kind for kind in ("preferences", "paraphrases", "canaries") if getattr(found, kind)]
            yield _BESIDE[role].format(" and ".join(kinds))


def _copies(material: Material) -> tuple[str, ...]:
    """A remark on units that say what another one says: a copy is no item."""
    dropped = material.count - material.each_once().count
    told = f"{dropped} of the data's {material.count} items are copies of others and were dropped"
    return (told,) if dropped else ()


def _seen(dropped: int, of: int) -> tuple[str, ...]:
    """A remark on items of the holdout that stand in the data."""
    told = f"{dropped} of the holdout's {of} items stand in the data too and were dropped from the holdout"
    return (told,) if dropped else ()


def _trained_on(dropped: int, of: int) -> tuple[str, ...]:
    """A remark on general text that stands in the data or the holdout."""
    if not dropped:
        return ()
    left = "and were dropped" if dropped < of else "and none is left: packaged text takes its place"
    return (f"{dropped} of the {of} general texts stand in the data or the holdout too {left}",)


def _drawn(items: tuple[Item, ...], most: int | None) -> tuple[Item, ...]:
    """At most so many of the user's items."""
    return tuple(sample_of(items, most or len(items)))


def _at_most(items: tuple[Item, ...], most: int | None) -> tuple[Item, ...]:
    """At most so many, evenly spaced."""
    return tuple(spread(items, most or len(items)))


def _joined(sections: Sequence[Section]) -> str:
    """General text to be cut up; short neighbours are joined so that pieces reach a useful length."""
    return "\n\n".join((section.prompt + section.text) for section in sections)
