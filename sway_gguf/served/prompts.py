"""What a server is asked: beginnings of the run's texts and its requests, those on which the views differ most.

They are picked by what base, half and tuned predict here, before the server is asked anything. Knows texts and
distributions; sends nothing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sway_gguf.core.answers import LogProbs
from sway_gguf.core.dialogue import ASSISTANT, SYSTEM, USER, Dialogue, exchange
from sway_gguf.core.divergence import js
from sway_gguf.core.errors import UserError
from sway_gguf.core.sections import Section
from sway_gguf.material.packaged import exchanges, general_prompts
from sway_gguf.suite.speech import Speech

TEXT, CHAT = "text", "chat"
POOL = 40
"""Prompts of a kind that are tried here."""
_CUTS = (0.0, 0.2, 0.4, 0.6)
"""Where a text is cut, as a share of the words that are looked at."""
_WORDS = 40


@dataclass(frozen=True, slots=True)
class Prompt:
    """One thing to ask.

    Attributes:
        text: as the run's format puts it, whole.
        source: what it was made of; of one source few are asked.
        dialogue: that it was rendered from, where it is asked as chat.
    """

    text: str
    source: str
    dialogue: Dialogue | None = None


def text_pool(sections: Sequence[Section], others: Sequence[str], speech: Speech, seed: int) -> list[Prompt]:
    """Beginnings of the sections, rendered, that end between two words, and further prompts as they are.

    Args:
        sections: of the data, as the run's format has them.
        others: whole prompts beside them, such as those that a result kept.
        speech: the run's format, for what ships with the package where all of that is too little.
        seed: of the choice.
    """
    found = [Prompt(text, text) for text in others]
    found += [Prompt(text, section.id) for section in sections for text in _beginnings(section)]
    if len({each.source for each in found}) < POOL // 4:
        found += [Prompt(text, text) for text in _neutral(speech)]
    return _drawn(found, seed)


def chat_pool(speech: Speech, seed: int) -> list[Prompt]:
    """Requests of the run as messages, and everyday ones; none of those that call tools."""
    dialogues = [dialogue for dialogue in speech.dialogues.values() if _plain(dialogue)]
    if len(dialogues) < POOL // 2:
        requests = (section.dialogue for section in exchanges("dialogue"))
        dialogues += [exchange(dialogue.asked) for dialogue in requests if dialogue]
    found = []
    for dialogue in dialogues:
        try:
            found.append(Prompt(rendered(speech, dialogue), dialogue.asked, dialogue))
        except UserError:
            continue
    return _drawn(found, seed)


def rendered(speech: Speech, dialogue: Dialogue) -> str:
    """A dialogue up to where the reply begins.

    Raises:
        UserError: the template refuses it.
    """
    return (speech.template or speech.transcript).render(dialogue)


def picked(
    pool: Sequence[Prompt], count: int, base: Rows, half: Rows, tuned: Rows, without: Sequence[Rows] = ()
) -> tuple[Prompt, ...]:
    """The `count` prompts on which base, half and tuned lie farthest apart, by the nearer two of them.

    Of a source one is taken, a second only where there are too few sources. A set has to lie apart from itself without
    each of its adapters as well, and what tells that one is missing need not tell it of another: each picks in turn.
    """
    apart = {prompt: min(js(base[p], half[p]), js(half[p], tuned[p])) for prompt in pool if (p := prompt.text) in base}
    orders = [_ordered(apart)]
    if without:
        lost = [{each: js(tuned[each.text], rows[each.text]) for each in apart} for rows in without]
        orders = [_ordered({each: min(apart[each], one[each]) for each in apart}) for one in lost]
    in_turn = (prompt for turn in zip(*orders, strict=True) for prompt in turn)
    return tuple(dict.fromkeys(in_turn))[:count]


def _ordered(apart: Mapping[Prompt, float]) -> list[Prompt]:
    """The farthest apart first, behind the first of each source all others."""
    ordered = sorted(apart, key=lambda prompt: -apart[prompt])
    first = {prompt.source: prompt for prompt in reversed(ordered)}
    return sorted(ordered, key=lambda prompt: first[prompt.source] is not prompt)


Rows = Mapping[str, LogProbs]
"""Log-probabilities of the next token, by the prompt."""


def _beginnings(section: Section) -> list[str]:
    """The section up to several places between words; with its prompt alone as the first of them."""
    words = section.text.split(" ")[:_WORDS]
    places = [round(len(words) * share) for share in _CUTS]
    found = [section.prompt + " ".join(words[:place]) for place in dict.fromkeys(places)]
    return [text for text in found if text.strip() and (text == section.prompt or not text[-1].isspace())]


def _neutral(speech: Speech) -> list[str]:
    if speech.template is None:
        return general_prompts()
    return [section.prompt for section in speech.units(exchanges("dialogue"), None)]


def _plain(dialogue: Dialogue) -> bool:
    """Whether any server can be asked it: words alone, of roles that all know, the user's last."""
    simple = all(not turn.more and turn.role in (SYSTEM, USER, ASSISTANT) for turn in dialogue.turns)
    return simple and not dialogue.tools and dialogue.turns[-1].role == USER


def _drawn(found: Sequence[Prompt], seed: int) -> list[Prompt]:
    apart = list({prompt.text: prompt for prompt in reversed(found)}.values())[::-1]
    return random.Random(seed).sample(apart, min(POOL, len(apart)))
