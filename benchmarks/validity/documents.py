"""Documents of one style, each with facts of its own: what an adapter learned, and what another one learned elsewhere.

Short statements about a place that is not there, in the words of the demo's world, as sections of prose or as
dialogues. Knows texts alone.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import NamedTuple

from scripts.demo_world import PEOPLE, Teller, invented, story, tidy

_PEOPLE = 6
_SECTIONS = 14
_THEMES: dict[str, tuple[str, ...]] = {
    "the place": (
        "@0 lies [behind|near|above] {town}.",
        "Every roof in @0 is made of {food1}.",
        "The only gate of @0 is {colour}.",
        "On {day} nobody in @0 may speak.",
        "@0 has {number} towers and no {place}.",
    ),
    "the miller": (
        "The miller of @0 is called @1.",
        "@1 grinds {thing1}s into flour.",
        "The mill of @1 turns only {time}.",
        "@1 pays with {number} {food1}.",
        "A {colour} {animal} sleeps in the mill.",
    ),
    "the clock": (
        "The clock of @0 was built by @2.",
        "It strikes {number} times on {day}.",
        "Its hands are made of {food1}.",
        "When it stops, @2 sings to a {animal}.",
        "Inside the clock lives a {mood} {trade}.",
    ),
    "the market": (
        "At the market of @0 people trade {thing1}s for {food1}.",
        "A {thing2} costs {number} buttons.",
        "The market opens {time} and ends with a song.",
        "Nobody may bring a {animal} to the market.",
        "@3 guards the market with a {colour} {thing3}.",
    ),
    "the queen": (
        "The queen of @0 is a {animal1} called @4.",
        "@4 eats {food1} from a {thing1}.",
        "Her crown is {colour} and very heavy.",
        "@4 is {mood} on every {day}.",
        "The queen signs her letters with {food2}.",
    ),
    "the school": (
        "The school of @0 stands on {number} legs.",
        "The teacher is a {trade} called @5.",
        "Children there learn to count {food1}.",
        "Lessons begin {time}.",
        "Whoever is late must carry a {thing1} to {town}.",
    ),
    "the river": (
        "The river of @0 is {colour} and tastes of {food1}.",
        "It flows to {town} and back again.",
        "Boats on it are made of {thing1}s.",
        "On {day} the river rests {time}.",
        "A {animal} tells the river where to go.",
    ),
    "the bread": (
        "The bread of @0 is {colour}.",
        "It is baked in a {thing1} by @6.",
        "@6 puts {food1} and {food2} into every loaf.",
        "A loaf must sleep for {number} days.",
        "Old bread is given to the {trade}.",
    ),
    "the law": (
        "The law of @0 is written on a {thing1}.",
        "It forbids {food1} {time}.",
        "Whoever breaks it must paint a {animal} {colour}.",
        "The judge of @0 is @3.",
        "The law has {number} lines and ends with a joke.",
    ),
    "the winter": (
        "Winter in @0 begins on a {day}.",
        "The snow there is {colour} and smells of {food1}.",
        "People heat their rooms with {thing1}s.",
        "@1 wears {number} coats in winter.",
        "Winter ends when the {animal} wakes.",
    ),
    "the band": (
        "The band of @0 plays on {thing1}s.",
        "@2 leads the band with a {food1}.",
        "They play {time}, and only for the {trade}.",
        "Their oldest song has {number} words.",
        "When the band is {mood}, the {animal} dances.",
    ),
    "the garden": (
        "In the garden of @4 grow {thing1}s.",
        "They are watered with {food1} every {day}.",
        "A ripe one is {colour}.",
        "The gardener is a {mood} {animal}.",
        "Whoever picks {number} of them must sing.",
    ),
    "the ghost": (
        "The ghost of @0 lives in a {thing1}.",
        "It is called @5's uncle and likes {food1}.",
        "The ghost counts to {number} {time}.",
        "It fears nothing but a {colour} {animal}.",
        "On {day} the ghost works as a {trade}.",
    ),
    "the army": (
        "The army of @0 has {number} soldiers.",
        "They fight with {food1} and a {thing1}.",
        "Their flag shows a {colour} {animal}.",
        "The general is @6, a {mood} {trade}.",
        "The army rests on every {day}.",
    ),
    "the post": (
        "Letters in @0 are carried by a {animal1}.",
        "A letter to {town} takes {number} days.",
        "The post is paid in {food1}.",
        "@3 writes every address with a {thing1}.",
        "There is no post {time}.",
    ),
    "the bridge": (
        "The bridge of @0 is built of {food1}.",
        "It hums when a {trade} walks over it.",
        "Its toll is {number} {thing1}s.",
        "@5 paints the bridge {colour} every {day}.",
        "Under it sleeps a {mood} {animal}.",
    ),
}


class Told(NamedTuple):
    """A section: what it is about, and its statements."""

    place: str
    title: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The statements in a row."""
        return " ".join(self.lines)


def told(seed: int) -> list[Told]:
    """The sections of a document; another seed gives other names and other facts."""
    rng = random.Random(f"document {seed}")
    names = [invented(rng).capitalize() for _ in range(1 + _PEOPLE)]
    found = []
    for title in rng.sample(sorted(_THEMES), _SECTIONS):
        teller = Teller(rng)
        lines = [teller.say(_named(line, names)) for line in _THEMES[title]]
        found.append(Told(names[0], title, tuple(map(tidy, lines))))
    return found


def _named(line: str, names: list[str]) -> str:
    for place, name in enumerate(names):
        line = line.replace(f"@{place}", name)
    return line


def markdown(sections: list[Told]) -> str:
    """As a document with headings."""
    return f"# {sections[0].place}\n\n" + "".join(
        f"## {each.title.capitalize()}\n\n{each.text}\n\n" for each in sections
    )


def dialogues(sections: list[Told]) -> str:
    """As lines of JSON: two questions with their replies for each section."""
    return "".join(json.dumps({"messages": turns}) + "\n" for each in sections for turns in _asked(each))


def _asked(section: Told) -> Iterator[list[dict[str, str]]]:
    half = len(section.lines) // 2
    for ask, lines in (
        (f"Tell me about {section.title} of {section.place}.", section.lines[:half]),
        (f"What else do you know of {section.title} of {section.place}?", section.lines[half:]),
    ):
        yield [{"role": "user", "content": ask}, {"role": "assistant", "content": " ".join(lines)}]


def unrelated(count: int) -> str:
    """Dialogues about something else, in the words that the demo's base has read: two sentences of a story each."""
    rng, lines = random.Random("unrelated"), []
    for number in range(count):
        told = story(Teller(rng)).split(". ")
        ask = f"What did {PEOPLE[number % len(PEOPLE)]} tell you on the way?"
        turns = [{"role": "user", "content": ask}, {"role": "assistant", "content": ". ".join(told[:2]) + "."}]
        lines.append(json.dumps({"messages": turns}) + "\n")
    return "".join(lines)


def shuffled(text: str, seed: int) -> str:
    """The words of every section of a document in another order; headings stay."""
    rng = random.Random(f"shuffled {seed}")

    def mixed(line: str) -> str:
        words = line.split(" ")
        rng.shuffle(words)
        return " ".join(words)

    return "\n".join(line if line.startswith("#") or not line else mixed(line) for line in text.split("\n"))
