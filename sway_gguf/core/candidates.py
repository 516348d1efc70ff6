"""A few replies as each of several templates puts them. Knows text; renders and scores nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Worded(NamedTuple):
    """A reply's own words, the same under every template, and all that one template writes before them."""

    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """One template that an adapter may have been trained with.

    Attributes:
        name: for the report, as in "the alpaca template".
        replies: the items, in the same order under every candidate.
        way_out: how to come to this template, where it turns out to be the right one.
        spoken: whether it is how the run, or whoever serves the file, speaks already.
    """

    name: str
    replies: tuple[Worded, ...]
    way_out: str = ""
    spoken: bool = False


@dataclass(frozen=True, slots=True)
class Thought:
    """A request where the template knows thinking, with it asked for and not.

    Attributes:
        request: what the user asks.
        on, off: the prompts.
    """

    request: str
    on: str
    off: str
