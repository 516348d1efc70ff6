"""Which template a run speaks in, and all of its text rendered by it, once. What is asked then is text alone.

Prose stays prose in every format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sway_gguf.artifacts.chat import Renderer, chat_renderer, family_template, special_tokens, template
from sway_gguf.artifacts.families import FAMILIES
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.template_files import template_source
from sway_gguf.core.dialogue import Dialogue, Render, exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.sections import AnyUnit, Canary, Material, Paraphrase, Preference, Section, Unit
from sway_gguf.material.files import Files, origin
from sway_gguf.material.spoken import Template, template_of
from sway_gguf.spec.model import FORMATS, Spec
from sway_gguf.spec.options import nearest

AUTO, CHAT, PLAIN = "auto", "chat", "plain"
_OWN = "the base's own chat template"
_SPOKEN_FORMS = {"dialogue", "instruction"}


@dataclass(frozen=True)
class Speech:
    """A run's format.

    Attributes:
        name: for the report.
        template: what dialogues and requests go through; None where they stay as they were read.
        chat: what dialogue probes go through: the same, or else the base's own template; None without one.
        transcript: what dialogues with roles go through where there is no template.
        own: the base's own template, whatever the run speaks; None where it carries none.
        requests: what the user asks, by the prompt that it was rendered as; grows as requests are rendered.
        dialogues: the dialogue that a prompt was rendered from, by the prompt; grows likewise.
    """

    name: str
    template: Template | None
    chat: Render | None
    transcript: Template
    own: Render | None = None
    requests: dict[str, str] = field(default_factory=dict)
    dialogues: dict[str, Dialogue] = field(default_factory=dict)

    def instructed(self) -> Speech | None:
        """As the model speaks with its users, whatever the data is: itself, or the base's own; None without a template.

        A template of the base's that cannot be used is none, for the run did not ask for it.
        """
        if self.template or not self.chat:
            return self if self.template else None
        try:
            return replace(self, template=template_of(self.chat))
        except UserError:
            return None

    @property
    def is_bases_own(self) -> bool:
        """Whether it speaks in the template that the base carries."""
        return self.template is not None and self.name == _OWN

    def request(self, text: str) -> str:
        """A user's request as a prompt.

        Raises:
            UserError: the template refuses it.
        """
        if self.template is None:
            return text
        return self._known(self.template.request(text), exchange(text))

    def reworded(self, prompt: str, text: str) -> str:
        """A rendered prompt once more, with other words for what is asked last in it; any other prompt is the words.

        Raises:
            UserError: the template refuses them.
        """
        dialogue = self.dialogues.get(prompt)
        if dialogue is None:
            return text
        return self._known((self.template or self.transcript).render(dialogue.asking(text)), dialogue.asking(text))

    def unit(self, unit: AnyUnit) -> AnyUnit:
        """A unit as it is asked.

        Raises:
            UserError: the template refuses it.
        """
        made = self._unit(unit)
        if made is unit or not made.prompt:
            return made
        self._known(made.prompt, _before(unit) or exchange(unit.prompt))
        if isinstance(made, Paraphrase) and isinstance(unit, Paraphrase):
            for prompt, text in zip(made.paraphrases, unit.paraphrases, strict=True):
                self._known(prompt, exchange(text))
        return made

    def _known(self, prompt: str, dialogue: Dialogue) -> str:
        """The prompt, remembered with what it was rendered from."""
        self.requests[prompt], self.dialogues[prompt] = dialogue.asked, dialogue
        return prompt

    def units(self, units: Iterable[AnyUnit], source: Files) -> tuple[AnyUnit, ...]:
        """All of them.

        Raises:
            UserError: the template refuses one; it is named.
        """
        found = []
        for number, unit in enumerate(units, 1):
            try:
                found.append(self.unit(unit))
            except UserError as error:
                name = unit.id if isinstance(unit, Section) else f"{type(unit).__name__.lower()} {number}"
                raise UserError(f"{origin(source)}, {name}: {error}") from None
        return tuple(found)

    def material(self, material: Material, source: Files) -> Material:
        """All units of a file.

        Raises:
            UserError: the template refuses one; it is named.
        """
        return Material(
            sections=self.units(material.sections, source),
            preferences=self.units(material.preferences, source),
            paraphrases=self.units(material.paraphrases, source),
            canaries=self.units(material.canaries, source),
        )

    def _unit(self, unit: AnyUnit) -> AnyUnit:
        spoken: Template | None = self.template
        if spoken is None and _has_roles(unit):
            spoken = self.transcript
        if spoken is None:
            return unit
        rendering: Mapping[type, Callable[[Any], Any]] = {
            Section: spoken.section,
            Preference: spoken.preference,
            Paraphrase: spoken.paraphrase,
            Canary: spoken.canary,
        }
        made: AnyUnit = rendering[type(unit)](unit)
        return made


def _has_roles(unit: Unit) -> bool:
    """Whether it was written as messages, so that it is no text before a template or a transcript makes one of it."""
    if isinstance(unit, Section):
        return unit.form == "dialogue"
    return isinstance(unit, Preference) and unit.dialogue is not None


def _before(unit: Unit) -> Dialogue | None:
    """What stands before a unit's last reply, where it has a dialogue."""
    dialogue = unit.dialogue if isinstance(unit, Section | Preference) else None
    if dialogue is None or isinstance(unit, Preference):
        return dialogue
    return dialogue.first(max(dialogue.replies, default=len(dialogue.turns)))


def speech_of(spec: Spec, material: Material) -> Speech:
    """The format that a spec asks for, or that its data and base call for.

    Raises:
        UserError: a base without a template is asked for it, or a template cannot be used.
    """
    base, chosen = spec.models.base.base, spec.format
    transcript = template_of(_family(PLAIN, base, spec))
    if chosen not in (AUTO, CHAT, PLAIN):
        render = _family(chosen, base, spec) if chosen in FAMILIES else _from_file(Path(chosen), base, spec)
        name = f"the {chosen} template" if chosen in FAMILIES else f"the chat template of {chosen}"
        return Speech(name, template_of(render), render, transcript, _usable_own(base, spec))
    own = chat_renderer(base, spec.template_kwargs)
    if chosen == AUTO:
        chosen = CHAT if own is not None and _speaks(material) else PLAIN
    if chosen == PLAIN:
        return Speech("plain text", None, own, transcript, own)
    if own is None:
        raise UserError(f"{base}: carries no chat template; give --format FILE.jinja, a PEFT folder, alpaca or plain")
    return Speech(_OWN, template_of(own), own, transcript, own)


def _usable_own(base: Path, spec: Spec) -> Renderer | None:
    """The base's own template where the run does not ask for it; one that cannot be used is none."""
    try:
        return chat_renderer(base, spec.template_kwargs)
    except UserError:
        return None


def _speaks(material: Material) -> bool:
    """Whether any of the data is a dialogue; where there is none at all, an instruct model is asked as one."""
    if not material.count:
        return True
    said = any(section.form in _SPOKEN_FORMS for section in material.sections)
    return said or any(triple.dialogue for triple in material.preferences)


def _family(name: str, base: Path, spec: Spec) -> Renderer:
    return family_template(name, special_tokens(GGUFFile(base)), spec.template_kwargs)


def _from_file(path: Path, base: Path, spec: Spec) -> Renderer:
    if not path.exists():
        raise UserError(
            f"format {str(path)!r} is neither a file or folder nor one of the formats; {nearest(path.name, FORMATS)}"
        )
    special = special_tokens(GGUFFile(base))
    return template(template_source(path), f"{path}: its chat template", special, spec.template_kwargs)
