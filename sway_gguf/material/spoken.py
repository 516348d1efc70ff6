"""Dialogues as text, with where the replies stand in it. Knows that a template renders, but not which.

Where a reply begins and ends is found from the template itself: rendered with the turn and without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from sway_gguf.core.common import common
from sway_gguf.core.dialogue import ASSISTANT, USER, Dialogue, Render, exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Spans
from sway_gguf.core.sections import Canary, Paraphrase, Preference, Section

_ENDING = re.compile(r"\s*\S[^\n]*")
_MARKERS = re.compile(r".*[>\]\s]", re.DOTALL)
"""Of a text that two renderings share, what ends with a whole marker: by chance they share a "<" too."""
_PROBES = ("0", "1")
"""Two replies that share no character: what the renderings of both begin and end with is the template's."""


class Reply(NamedTuple):
    """Where one reply stands.

    Attributes:
        text: the dialogue up to the reply's end, with all that the template writes.
        start, end: of the reply in it, in characters.
        stop: where the ending that is scored with it ends.
    """

    text: str
    start: int
    end: int
    stop: int


@dataclass(frozen=True)
class Template:
    """A template in use.

    Attributes:
        render: dialogues to text.
        ending: what ends a reply and is scored with it; "" where the template writes nothing of that sort.
        tail: all that stands behind a last reply.
    """

    render: Render
    ending: str
    tail: str

    def request(self, text: str) -> str:
        """A user's request, up to where the reply begins.

        Raises:
            UserError: the template refuses it.
        """
        return self.render(exchange(text))

    def section(self, section: Section) -> Section:
        """The section with its dialogue rendered: the last reply as its text, all before it as its prompt.

        Raises:
            UserError: the template refuses the dialogue, or what it writes does not tell where a reply begins.
        """
        if section.dialogue is None:
            return section
        # What a template leaves out, such as a turn of calls alone, is no reply.
        found = [reply for reply in self._replies(section.dialogue) if reply.text[reply.start : reply.end].strip()]
        if not found:
            raise UserError("its chat template writes none of the assistant's replies")
        last = found[-1]
        return replace(
            section,
            prompt=last.text[: last.start],
            text=last.text[last.start : last.end],
            ending=last.text[last.end : last.stop],
            replies=_together(found) if len(found) > 1 else (),
        )

    def preference(self, triple: Preference) -> Preference:
        """The same of a preference; its two replies stand behind one prompt. One without a prompt is prose."""
        if not triple.prompt and triple.dialogue is None:
            return triple
        before, texts = triple.dialogue or exchange(triple.prompt.strip()), (triple.chosen, triple.rejected)
        chosen, rejected = (self._reply(before.then(ASSISTANT, text.strip())) for text in texts)
        # A template may open a reply in one way or another by what it says; the prompt is what both share.
        prompt = _shared(chosen.text[: chosen.start], rejected.text[: rejected.start])
        return replace(
            triple,
            prompt=prompt,
            chosen=chosen.text[len(prompt) : chosen.end],
            rejected=rejected.text[len(prompt) : rejected.end],
            ending=chosen.text[chosen.end : chosen.stop],
        )

    def paraphrase(self, case: Paraphrase) -> Paraphrase:
        """The same of paraphrases; each wording is a request."""
        reply = self._reply(exchange(case.prompt.strip(), case.gold.strip()))
        return replace(
            case,
            prompt=reply.text[: reply.start],
            gold=reply.text[reply.start : reply.end],
            paraphrases=tuple(self.request(other) for other in case.paraphrases),
            ending=reply.text[reply.end : reply.stop],
        )

    def canary(self, canary: Canary) -> Canary:
        """The same of a planted sentence: its beginning is a request."""
        return replace(canary, prompt=self.request(canary.prompt))

    def _replies(self, dialogue: Dialogue) -> Iterator[Reply]:
        for place in dialogue.replies:
            yield self._reply(dialogue.first(place + 1))

    def _reply(self, dialogue: Dialogue) -> Reply:
        """Of the last turn."""
        before = dialogue.first(len(dialogue.turns) - 1)
        text = self.render(dialogue, opens=False)
        start = self._start(text, before)
        if text.endswith(self.tail) and len(text) - len(self.tail) >= start:
            end = len(text) - len(self.tail)
            return Reply(text, start, end, end + len(self.ending))
        end = max(start, len(text.rstrip()))
        return Reply(text, start, end, end)

    def _start(self, text: str, before: Dialogue) -> int:
        """Where the last turn of `text` begins: behind the opening that the template gives for generating it.

        A template may open a reply otherwise than it writes one (with a thought, say), or not at all, or write earlier
        turns otherwise once a reply follows. Then the reply begins where the renderings of two other replies part.
        """
        opened, closed = self.render(before), self.render(before, opens=False)
        if text.startswith(opened) and opened != closed:
            return len(opened)
        head = _shared(*(self.render(before.then(ASSISTANT, reply), opens=False) for reply in _PROBES))
        # A blank before the reply is the beginning of its first token.
        start = len(_shared(text, head).rstrip(" "))
        if start < len(head.rstrip(" ")) and not (text.startswith(closed) and start >= len(closed)):
            raise UserError("its chat template writes earlier turns by what the reply says, so it cannot be told apart")
        return start


def template_of(render: Render) -> Template:
    """A template with what it ends replies with.

    Raises:
        UserError: it refuses a plain exchange, or leaves the reply out of it.
    """
    told = [exchange("Hello", reply) for reply in _PROBES]
    texts = [render(dialogue, opens=False) for dialogue in told]
    if texts[0] == texts[1]:
        raise UserError("its chat template leaves the assistant's replies out")
    tail = _shared(*(text[::-1] for text in texts))[::-1]
    ending = _ENDING.match(_between(render, told[0], tail) or tail)
    return Template(render, ending.group() if ending else "", tail)


def _between(render: Render, dialogue: Dialogue, tail: str) -> str:
    """What of `tail` ends a reply that another request follows; the rest ends the dialogue. "" for nothing."""
    text = render(dialogue, opens=False)
    kept = text[: len(text) - len(tail)]
    try:
        longer = render(dialogue.then(USER, "Hello"), opens=False)
    except UserError:
        return tail
    if not longer.startswith(kept):
        return tail
    shared = _shared(longer[len(kept) :], tail)
    markers = _MARKERS.match(shared)
    return tail if shared == tail else markers.group() if markers else ""


def _shared(one: str, other: str) -> str:
    """What both begin with."""
    return one[: common(one, other)]


def _together(replies: list[Reply]) -> tuple[Spans, ...]:
    """All replies in as few texts as hold them: in the whole dialogue, but for those that it has otherwise."""
    whole = replies[-1].text
    inside = [reply for reply in replies if whole.startswith(reply.text[: reply.stop])]
    outside = [reply for reply in replies if reply not in inside]
    together = Spans(whole[: replies[-1].stop], tuple((reply.start, reply.stop) for reply in inside))
    return (*(Spans(reply.text[: reply.stop], ((reply.start, reply.stop),)) for reply in outside), together)
