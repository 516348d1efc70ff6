"""Which template a run speaks in, and all of its text rendered by it, once. What is asked then is text alone.

Prose stays prose in every format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sway_gguf.artifacts.chat import Template as Jinja
from sway_gguf.artifacts.chat import chat_renderer, special_tokens, template
from sway_gguf.artifacts.families import FAMILIES
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.template_files import template_source
from sway_gguf.core.dialogue import Render
from sway_gguf.core.errors import UserError
from sway_gguf.core.sections import AnyUnit, Canary, Material, Paraphrase, Preference, Section
from sway_gguf.material.spoken import Template, template_of
from sway_gguf.spec.model import Spec

AUTO, CHAT, PLAIN = "auto", "chat", "plain"
Item = TypeVar("Item")
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
    """

    name: str
    template: Template | None
    chat: Render | None
    transcript: Template
    own: Render | None = None
    requests: dict[str, str] = field(default_factory=dict)

    def request(self, text: str) -> str:
        """A user's request as a prompt.

        Raises:
            UserError: the template refuses it.
        """
        if self.template is None:
            return text
        prompt = self.template.request(text)
        self.requests[prompt] = text
        return prompt

    def unit(self, unit: AnyUnit) -> AnyUnit:
        """A unit as it is asked.

        Raises:
            UserError: the template refuses it.
        """
        made = self._unit(unit)
        if isinstance(made, Section | Preference) and made.dialogue and made.prompt:
            asked = [turn.content for turn in made.dialogue.turns if turn.role != "assistant"]
            self.requests[made.prompt] = asked[-1] if asked else made.prompt
        return made

    def units(self, units: Iterable[AnyUnit], source: Path | None) -> tuple[AnyUnit, ...]:
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
                raise UserError(f"{source or 'data'}, {name}: {error}") from None
        return tuple(found)

    def material(self, material: Material, source: Path | None) -> Material:
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
        if spoken is None and isinstance(unit, Section) and unit.form == "dialogue":
            spoken = self.transcript
        if spoken is None:
            return unit
        for kind, rendered in _rendering(spoken):
            if isinstance(unit, kind):
                return rendered(unit)
        return unit


def _rendering(spoken: Template) -> Sequence[tuple[type, Callable[..., AnyUnit]]]:
    return (
        (Section, spoken.section),
        (Preference, spoken.preference),
        (Paraphrase, spoken.paraphrase),
        (Canary, spoken.canary),
    )  # type: ignore[return-value]


def speech_of(spec: Spec, material: Material) -> Speech:
    """The format that a spec asks for, or that its data and base call for.

    Raises:
        UserError: a base without a template is asked for it, or a template cannot be used.
    """
    base = spec.models.base.base
    own = chat_renderer(base, spec.template_kwargs)
    transcript = template_of(_family(PLAIN, base, spec))
    chosen = spec.format
    if chosen == AUTO:
        chosen = CHAT if own is not None and _speaks(material) else PLAIN
    if chosen == PLAIN:
        return Speech("plain text", None, own, transcript, own)
    if chosen == CHAT:
        if own is None:
            raise UserError(f"{base}: carries no chat template; give --format FILE.jinja, alpaca or plain")
        return Speech("the base's own chat template", template_of(own), own, transcript, own)
    render = _family(chosen, base, spec) if chosen in FAMILIES else _from_file(Path(chosen), base, spec)
    name = f"the {chosen} template" if chosen in FAMILIES else f"the chat template of {chosen}"
    return Speech(name, template_of(render), render, transcript, own)


def _speaks(material: Material) -> bool:
    """Whether any of the data is a dialogue; where there is none at all, an instruct model is asked as one."""
    if not material.count:
        return True
    said = any(section.form in _SPOKEN_FORMS for section in material.sections)
    return said or any(triple.dialogue for triple in material.preferences)


def _family(name: str, base: Path, spec: Spec) -> Jinja:
    return template(FAMILIES[name], f"the {name} template", special_tokens(GGUFFile(base)), spec.template_kwargs)


def _from_file(path: Path, base: Path, spec: Spec) -> Jinja:
    special = special_tokens(GGUFFile(base))
    return template(template_source(path), f"{path}: its chat template", special, spec.template_kwargs)
