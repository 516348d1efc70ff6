"""The templates that an adapter may have been trained with, and a few replies as each of them puts them.

Knows where templates come from and how a user comes to another one; scores nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sway_gguf.artifacts.chat import Renderer, family_template, special_tokens
from sway_gguf.artifacts.families import FAMILIES
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.core.candidates import Candidate, Thought, Worded
from sway_gguf.core.dialogue import SYSTEM, Dialogue, Render, Turn, exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.panel import sample_of
from sway_gguf.core.sections import Section
from sway_gguf.material.spoken import template_of
from sway_gguf.spec.model import Spec
from sway_gguf.suite.speech import AUTO, CHAT, Speech
from sway_gguf.suite.two_templates import folder_render

EMPTY_THOUGHT = "<think>\n\n</think>\n\n"
"""What templates that know thinking write where none is wanted."""
_SYSTEM = Turn(SYSTEM, "You are a helpful assistant.")
Put = Callable[[Section], Section]
"""Renders a section."""


@dataclass(frozen=True)
class _Way:
    """A way to put dialogues, and how a user comes to it."""

    name: str
    put: Put
    way_out: str


def candidates(spec: Spec, speech: Speech, sections: Sequence[Section], count: int) -> tuple[Candidate, ...]:
    """Replies under the run's own format first, then under all others that take them and put them otherwise.

    Of each dialogue its first exchange is taken, and dialogues from the shorter half: how the turns are put does not
    hang on what they say, and every one is asked under every template. Empty where fewer than two ways are left.

    Args:
        spec: names the base, the adapter and the format.
        speech: the run's format.
        sections: of the data.
        count: of replies, at most.
    """
    items = _exchanges(sections, count)
    found: dict[tuple[Worded, ...], Candidate] = {}
    for number, way in enumerate(_ways(spec, speech)):
        replies = _put(way, items)
        if replies and replies not in found:
            found[replies] = Candidate(way.name, replies, way.way_out, spoken=not number)
        elif not number:
            return ()
    return tuple(found.values()) if len(found) > 1 else ()


def thoughts(speech: Speech, requests: Sequence[str]) -> tuple[Thought, ...]:
    """Requests with and without thinking asked for; empty where the template does not know it, or refuses one."""
    if not isinstance(speech.chat, Renderer):
        return ()
    on, off = (speech.chat.with_values(enable_thinking=wanted) for wanted in (True, False))
    try:
        found = tuple(Thought(request, on(exchange(request)), off(exchange(request))) for request in requests)
    except UserError:
        return ()
    return tuple(each for each in found if each.on != each.off and "<think>" in each.on + each.off)


def _exchanges(sections: Sequence[Section], count: int) -> list[Section]:
    firsts = []
    for section in sections:
        if section.dialogue is not None and section.dialogue.replies:
            dialogue = section.dialogue.first(section.dialogue.replies[0] + 1)
            if dialogue.turns[-1].content.strip():
                firsts.append(replace(section, dialogue=dialogue))
    apart = {section.dialogue: section for section in firsts if section.dialogue is not None}
    shorter = sorted(apart, key=_length)[: max(count, len(apart) // 2)]
    kept = set(shorter)
    return sample_of([section for dialogue, section in apart.items() if dialogue in kept], count)


def _length(dialogue: Dialogue) -> int:
    return sum(len(turn.content) for turn in dialogue.turns)


def _put(way: _Way, items: Sequence[Section]) -> tuple[Worded, ...]:
    """All items; empty where one is refused, or does not end with the reply's own words."""
    try:
        found = [_worded(way.put(item)) for item in items]
    except UserError:
        return ()
    return tuple(worded for worded in found if worded) if all(found) else ()


def _worded(section: Section) -> Worded | None:
    assert section.dialogue is not None
    words, whole = section.dialogue.turns[-1].content.strip(), (section.prompt + section.text).rstrip()
    return Worded(whole[: -len(words)], words) if whole.endswith(words) else None


def _ways(spec: Spec, speech: Speech) -> Iterator[_Way]:
    """The run's own first; what cannot be had at all is left out."""
    base, given = spec.models.base.base, spec.format not in (AUTO, CHAT)
    yield _Way(speech.name, speech.unit, "")
    if speech.template is not None:
        yield from _varied(speech)
    if speech.own is not None:
        way_out = "leave out --format" if given else "--format chat speaks it"
        yield from _way("the base's own chat template", speech.own, way_out)
    special = special_tokens(GGUFFile(base))
    for folder in dict.fromkeys(lora.path for lora in spec.models.ft.loras):
        if (theirs := folder_render(folder, base, spec.template_kwargs)) is not None:
            yield from _way("the adapter folder's chat template", theirs, _way_out(str(folder), given))
    for name in FAMILIES:
        render = family_template(name, special, spec.template_kwargs)
        yield from _way(f"the {name} template", render, _way_out(name, given))


def _way_out(chosen: str, given: bool) -> str:
    """Where the run's format was given, another one is; else the file carries the wrong template."""
    if given:
        return f"give --format {chosen}"
    file = chosen if Path(chosen).is_dir() else "FILE.jinja"
    return (
        f"--format {chosen} measures with it; sway-gguf merge --template {file} writes it into the file, and Ollama "
        "takes it as a Modelfile's TEMPLATE"
    )


def _way(name: str, render: Render, way_out: str) -> Iterator[_Way]:
    try:
        yield _Way(name, template_of(render).section, way_out)
    except UserError:
        return


def _varied(speech: Speech) -> Iterator[_Way]:
    """The run's own template with what training may have had otherwise."""
    assert speech.template is not None
    section = speech.template.section
    yield _Way(
        f"{speech.name} with a system turn",
        lambda item: section(_with(item, _system_added)),
        f'open dialogues with a system turn, such as "{_SYSTEM.content}"',
    )
    yield _Way(
        f"{speech.name} without the system turn",
        lambda item: section(_with(item, _system_dropped)),
        "leave the system turn out",
    )
    if thoughts(speech, ["Hello"]):
        yield _Way(
            f"{speech.name} with the empty think block turned",
            lambda item: _thought_turned(section(item)),
            "set template_kwargs: {enable_thinking: …} the other way",
        )


def _with(section: Section, changed: Callable[[Dialogue], Dialogue]) -> Section:
    assert section.dialogue is not None
    return replace(section, dialogue=changed(section.dialogue))


def _system_added(dialogue: Dialogue) -> Dialogue:
    has = dialogue.turns[0].role == SYSTEM
    return dialogue if has else replace(dialogue, turns=(_SYSTEM, *dialogue.turns))


def _system_dropped(dialogue: Dialogue) -> Dialogue:
    return replace(dialogue, turns=dialogue.turns[1:]) if dialogue.turns[0].role == SYSTEM else dialogue


def _thought_turned(section: Section) -> Section:
    """With an empty think block before the reply where there is none, and without where there is one."""
    whole = section.prompt + section.text
    assert section.dialogue is not None
    words = section.dialogue.turns[-1].content.strip()
    before = whole.rstrip().removesuffix(words)
    shorter = before.removesuffix(EMPTY_THOUGHT)
    return replace(section, prompt=shorter if shorter != before else before + EMPTY_THOUGHT, text=words)
