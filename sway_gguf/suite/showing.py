"""What a run shows of the model's own words: which prompts and texts are taken, what is asked, and the records of it.

It decides nothing, and no number of a probe depends on it. Knows sources and answers; neither schedules nor reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sway_gguf.core.answers import Answers
from sway_gguf.core.panel import sample_of
from sway_gguf.core.queries import Completion, Generate, Query, Rolling, Split, shorten
from sway_gguf.core.sections import Section
from sway_gguf.core.shown import Heat, Origin, Reply
from sway_gguf.core.views import BASE, TUNED, View
from sway_gguf.material.chunks import prompts_from
from sway_gguf.probes.base import Sources

NEW_TOKENS = 48
"""Of a reply: enough to see its manner, little enough for a large model on a laptop."""
_DIGITS = 4
"""Of a log-probability that is shown."""


@dataclass(frozen=True, slots=True)
class _Text:
    """What stands before a text, the text, whose tokens are scored, and what it is."""

    label: str
    prompt: str
    text: str
    origin: Origin

    @property
    def scored(self) -> Completion | Rolling:
        return Completion(self.prompt, self.text) if self.prompt else Rolling(self.text)


@dataclass(frozen=True, slots=True)
class Example:
    """What is asked to be shown.

    Attributes:
        asked: replies that are still without words.
        texts: where the heat is taken.
    """

    asked: tuple[Reply, ...] = ()
    texts: tuple[_Text, ...] = ()

    @property
    def queries(self) -> tuple[Query, ...]:
        """Of base and tuned view."""
        replies = (_greedy(reply.prompt) for reply in self.asked)
        scores = (query for text in self.texts for query in (text.scored, Split(text.prompt, text.text)))
        return (*replies, *scores)


def _greedy(prompt: str) -> Generate:
    return Generate(prompt, NEW_TOKENS)


def example_of(sources: Sources, most: int) -> Example:
    """At most `most` prompts and as many texts: of data, holdout and everyday requests in turn, evenly spaced."""
    pools: dict[Origin, Sequence[Section]] = {
        "trained": sources.sections,
        "held-out": sources.holdout,
        "everyday": sources.everyday,
    }
    if not any(pools.values()):
        pools["everyday"] = [Section(shorten(text), text) for text in sources.general]
    chosen = list(_chosen(pools, most))
    asked = (_asked(sources, section, origin) for section, origin in chosen)
    replies = {reply.prompt: reply for reply in asked if reply and sources.holds(_greedy(reply.prompt))}
    texts = (_Text(_label(sources, *each), each[0].prompt, each[0].reply, each[1]) for each in chosen)
    return Example(tuple(replies.values()), tuple(text for text in texts if text.text.strip()))


def _label(sources: Sources, section: Section, origin: Origin) -> str:
    """A section's name; what is everyday has none that the user knows."""
    if origin != "everyday":
        return section.id
    return shorten(sources.requests.get(section.prompt, section.prompt) or section.text)


def _chosen(pools: dict[Origin, Sequence[Section]], most: int) -> Iterator[tuple[Section, Origin]]:
    """So many sections in the pools' order, of each pool about as many as of the others."""
    counts = dict.fromkeys(pools, 0)
    for _ in range(most):
        free = [origin for origin in pools if counts[origin] < len(pools[origin])]
        if free:
            counts[min(free, key=lambda origin: counts[origin])] += 1
    for origin, sections in pools.items():
        for section in sample_of(sections, counts[origin]) if counts[origin] else ():
            yield section, origin


def _asked(sources: Sources, section: Section, origin: Origin) -> Reply | None:
    """A section's prompt and what its data replies; of prose, its opening and how it goes on."""
    if section.prompt:
        request = sources.requests.get(section.prompt, section.prompt)
        return Reply(request, section.prompt, "", "", section.text, origin)
    openings = prompts_from([section], 1)
    if not openings:
        return None
    opening, text = openings[0], section.text.strip()
    return Reply(opening, opening, "", "", text.removeprefix(opening) if text.startswith(opening) else "", origin)


@dataclass
class Heard:
    """Keeps of base and tuned view what is shown, and makes the records of it; without both views there are none."""

    example: Example
    _answers: dict[View, Answers] = field(default_factory=dict)

    def take(self, view: View, answers: Answers) -> None:
        """A view's answers."""
        if view in (BASE, TUNED):
            self._answers[view] = answers.only(self.example.queries)

    @property
    def _both(self) -> tuple[Answers, Answers] | None:
        base, tuned = self._answers.get(BASE), self._answers.get(TUNED)
        return (base, tuned) if base and tuned else None

    def replies(self) -> tuple[Reply, ...]:
        """What both say."""
        if not self._both:
            return ()
        base, tuned = self._both
        return tuple(_said(reply, base, tuned) for reply in self.example.asked if _greedy(reply.prompt) in base)

    def heat(self) -> tuple[Heat, ...]:
        """Where in the texts the probability moved; a backend that tells no single tokens gives none."""
        if not self._both:
            return ()
        base, tuned = self._both
        return tuple(heat for text in self.example.texts if (heat := _heat(text, base, tuned)))


def _said(reply: Reply, base: Answers, tuned: Answers) -> Reply:
    query = _greedy(reply.prompt)
    return replace(reply, base=base.generated(query).text, tuned=tuned.generated(query).text)


def _heat(text: _Text, base: Answers, tuned: Answers) -> Heat | None:
    if text.scored not in base or Split(text.prompt, text.text) not in base:
        return None
    before, after = _logprobs(base, text), _logprobs(tuned, text)
    pieces = base.split(text.prompt, text.text).pieces
    if not len(pieces) == len(before) == len(after) > 0:
        return None
    lead, tokens = laid_over(text.prompt, text.text, pieces)
    return Heat(text.label, lead, tokens, before, after, text.origin)


def _logprobs(answers: Answers, text: _Text) -> tuple[float, ...]:
    if text.prompt:
        found: Sequence[float] = answers.completion(text.prompt, text.text).logprobs
    else:
        found = answers.rolling(text.text).logprobs.tolist()
    return tuple(round(each, _DIGITS) for each in found)


def laid_over(prompt: str, text: str, pieces: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """What stands before the scored tokens, and those as they stand in prompt and text.

    A token that straddles the boundary takes the end of the prompt with it. A blank that the vocabulary puts before
    the first word is not the text's.
    """
    whole, joined = prompt + text, "".join(pieces)
    if whole.endswith(joined):
        return whole[: len(whole) - len(joined)], tuple(pieces)
    if joined == f" {whole}":
        return "", (pieces[0][1:], *pieces[1:])
    return prompt, tuple(pieces)
