"""Puts a question beside another that it is the beginning of, where it then costs nobody a token.

How likely the end of a reply is, and how likely the reply with its end: one text, asked in two ways. Knows queries and
who asks them; neither tokens nor what an answer means.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence, Set
from itertools import islice, takewhile
from operator import itemgetter

from sway_gguf.collect import QueryGroup
from sway_gguf.core.queries import Completion, NextToken, Query, Rolling, Spans

AsksAnyway = Callable[[Hashable, Set[Hashable]], bool]
"""Whether an asker has a group answered, for which these ask, without more being read for it."""
_TEXT = itemgetter(0)


def joined(groups: Sequence[QueryGroup], asks_anyway: AsksAnyway) -> list[QueryGroup]:
    """The groups, each question in one that holds its text or more after it, if all who ask the question read that.

    Args:
        groups: by who asks; a question stands in one of them.
        asks_anyway: tells who may be sent to another group.
    """
    home = {query: place for place, group in enumerate(groups) for query in group.queries}
    askers = [set(group.askers) for group in groups]
    read = sorted(((text, query) for query in home if (text := _read(query))), key=_TEXT)
    for text, query in sorted(read, key=lambda each: -len(each[0])):
        place, longer = home[query], _beginning_with(text, read)
        for other in sorted({home[each] for each in longer} - {place}):
            if all(asks_anyway(asker, askers[other]) for asker in groups[place].askers):
                home[query] = other
                askers[other] |= groups[place].askers
                break
    held: list[list[Query]] = [[] for _ in groups]
    for query, place in home.items():
        held[place].append(query)
    return [QueryGroup(tuple(held), frozenset(keys)) for held, keys in zip(held, askers, strict=True) if held]


def _beginning_with(text: str, read: Sequence[tuple[str, Query]]) -> list[Query]:
    following = islice(read, bisect_left(read, text, key=_TEXT), None)
    return [query for _, query in takewhile(lambda each: each[0].startswith(text), following)]


def _read(query: Query) -> str:
    """The text of which a view reads a beginning to answer; "" where it is not read with others."""
    match query:
        case Completion():
            return query.prompt + query.completion
        case Rolling() | Spans():
            return query.text
        case NextToken() if not query.filler_tokens:
            return query.prompt
    return ""
