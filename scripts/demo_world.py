"""A small invented world, told by a seeded generator: what the demo model learns to read and write.

Knows words and templates. Does not know tokenizers or training; `demo_document.py` tells what the base never sees.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

PEOPLE = [
    "Anna", "Ben", "Clara", "David", "Ella", "Finn", "Greta", "Hugo", "Iris", "Jonas", "Kate", "Leo",
    "Mara", "Nils", "Olga", "Peter", "Rosa", "Simon", "Tilda", "Viktor", "Wanda", "Emil", "Frida", "Oscar",
]  # fmt: skip
TOWNS = ["Millbrook", "Easthaven", "Stonebridge", "Ferndale", "Northgate", "Willowford", "Saltmarsh", "Highfield"]
TRADES = ["baker", "fisher", "teacher", "carpenter", "doctor", "gardener", "miller", "painter", "sailor", "weaver"]
ANIMALS = ["dog", "cat", "goat", "horse", "hen", "donkey", "duck", "rabbit", "cow", "pony"]
THINGS = ["basket", "lamp", "rope", "blanket", "hammer", "kettle", "letter", "map", "bell", "ladder", "coat", "bucket"]
FOODS = ["bread", "soup", "cheese", "apples", "honey", "fish", "pears", "beans", "plums", "butter", "eggs", "cake"]
PLACES = ["market", "river", "bridge", "mill", "school", "harbour", "forest", "garden", "hill", "square", "barn"]
COLOURS = ["red", "blue", "green", "yellow", "white", "brown", "grey", "black"]
MOODS = ["happy", "tired", "worried", "proud", "quiet", "cheerful", "hungry", "surprised"]
SKIES = ["sunny", "cloudy", "windy", "rainy", "cold", "warm", "foggy", "bright"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
NUMBERS = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve"]
TIMES = ["in the morning", "at noon", "in the afternoon", "in the evening", "after lunch", "before sunrise"]

LISTS = {
    "town": TOWNS, "trade": TRADES, "animal": ANIMALS, "thing": THINGS, "food": FOODS, "place": PLACES,
    "colour": COLOURS, "mood": MOODS, "sky": SKIES, "day": DAYS, "number": NUMBERS, "time": TIMES,
}  # fmt: skip

_ONSETS = ["b", "br", "d", "f", "g", "gr", "h", "k", "l", "m", "n", "p", "qu", "r", "s", "st", "t", "th", "v", "w"]
_RIMES = ["a", "an", "ar", "e", "el", "en", "i", "il", "in", "o", "or", "ow", "u", "un", "ur"]
_INVENTED_PERSON, _INVENTED_WORD = 0.2, 0.05
"""How often a name or a word is made up: a model that never meets a new word is sure that there are none."""
_OPEN_LISTS = ("town", "trade", "animal", "thing", "food", "place")

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+?)(\d?)\}")


class Teller:
    """Fills templates: `[a|b]` is a choice, `{place}` a word of a list, `{place1}` the same word again.

    `{A}` and `{B}` are the story's two people; `{Atown}`, `{Atrade}`, … are facts that always hold for a person.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.first, self.second = (
            invented(rng).capitalize() if rng.random() < _INVENTED_PERSON else name for name in rng.sample(PEOPLE, 2)
        )
        self.kept: dict[str, str] = {}

    def say(self, template: str) -> str:
        """One filled template."""
        while _CHOICE.search(template):
            template = _CHOICE.sub(lambda found: self.rng.choice(found[1].split("|")), template)
        return tidy(_SLOT.sub(lambda found: self._word(found[1], found[2]), template))

    def _word(self, name: str, number: str) -> str:
        if name in ("A", "B"):
            return self.first if name == "A" else self.second
        if name[0] in "AB":
            return fact(self.first if name[0] == "A" else self.second, name[1:])
        if not number:
            return self._fresh(name, LISTS[name])
        if name + number not in self.kept:
            free = [word for word in LISTS[name] if word not in self.kept.values()]
            self.kept[name + number] = self._fresh(name, free)
        return self.kept[name + number]

    def _fresh(self, name: str, words: list[str]) -> str:
        """One of `words`, now and then a word that nobody has heard before."""
        if name in _OPEN_LISTS and self.rng.random() < _INVENTED_WORD:
            word = invented(self.rng)
            return word.capitalize() if name == "town" else word
        return self.rng.choice(words)


def invented(rng: random.Random) -> str:
    """A word of two or three syllables that stands in no list."""
    return "".join(rng.choice(_ONSETS) + rng.choice(_RIMES) for _ in range(rng.choice((2, 2, 3))))


def fact(person: str, name: str) -> str:
    """What always holds for a person: their town, trade, animal, food or colour."""
    words = LISTS[name]
    place = PEOPLE.index(person) if person in PEOPLE else sum(map(ord, person))
    return words[(place * 7 + len(name) * 3) % len(words)]


def tidy(text: str) -> str:
    """`a` before a vowel becomes `an`; sentences begin with a capital."""
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    return re.sub(r"(^|[.!?] )([a-z])", lambda found: found[1] + found[2].upper(), text)


ACTS = [
    "{A} [walked|went|ran|rode] to the {place} [{time}|with the {animal}|alone].",
    "{A} [found|saw|lost|carried] a {colour} {thing} [near the {place}|on the road to {town}|under a tree].",
    "[It was|The day was] {sky}, and {A} felt {mood}.",
    "{A} [met|saw|called|visited] {B}, the {Btrade} from {Btown}.",
    '"[Where is|Have you seen|Who took] the {colour} {thing}?" [asked|said] {B}.',
    '"[I think|I believe|Perhaps] it is [in|near|behind] the {place}," [said|answered] {A}.',
    "{B} [gave|sold|showed|promised] {A} {number} [pieces of|baskets of|plates of] {food}.",
    "[Then|After that|Soon|A little later] {B} [laughed|waved|sat down|went home|began to sing].",
    "The {animal} [ate|wanted|smelled] the {food} and [ran away|fell asleep|looked {mood}].",
    "{A} [was {mood}|was very {mood}|smiled] because the {thing} was [broken|new|heavy|gone|dry].",
    "[Together|Slowly|Quickly] they [carried|pulled|brought] the {thing} [to the {place}|back to {town}].",
    "{A} [waited|worked|rested] at the {place} until [the rain stopped|it was dark|{B} came|the bell rang].",
    "[On the way|At the {place}|That night] {A} [heard|saw] a {colour} {animal} [by the road|at the door].",
    "{A}'s {Aanimal} [slept|played|waited] [by the door|in the barn|near the fire].",
]
OPENINGS = [
    "One {sky} {day}, {A} [left|came to|stayed in] {town}.",
    "{A} was a {Atrade} [who lived in|from] {Atown}.",
    "[Last {day}|On {day}|Early on {day}], {A} [needed|wanted|looked for] a {colour} {thing}.",
    "There was a {mood} {Atrade} [called|named] {A} in {Atown}.",
]
ENDINGS = [
    "In the end {A} [went home {mood}|gave the {thing} to {B}|ate {food} with {B}|slept well].",
    "[From that day on|After that] {A} and {B} [were friends|met every {day}|worked together].",
    "{A} [thanked|hugged|laughed with] {B}, and they [went home|ate {food}|walked to {Atown}].",
]
FACTS = [
    "{A} is a {Atrade}.", "{A} lives in {Atown}.", "{A} has a {Aanimal}.", "{A} likes {Afood}.",
    "{A}'s house is {Acolour}.", "The {Atrade} of {Atown} is {A}.", "{A}'s favourite food is {Afood}.",
    "The {Aanimal} belongs to {A}.", "{A} wears a {Acolour} coat.",
]  # fmt: skip


def story(teller: Teller) -> str:
    """An opening, things that happen, an ending."""
    middle = teller.rng.sample(ACTS, teller.rng.randint(3, 7))
    return " ".join(map(teller.say, [teller.rng.choice(OPENINGS), *middle, teller.rng.choice(ENDINGS)]))


def letter(teller: Teller) -> str:
    """A letter from {A} to {B}."""
    body = [
        "[Thank you for|I received|I liked] the {food} [that you sent|from {town}].",
        "[Here in {Atown} it is|The weather here is|It has been] {sky} [since {day}|this week|again].",
        "My {Aanimal} is [well|{mood}|a little tired] and [sends greetings|eats {food}|sleeps in the barn].",
        "[Can you|Please] [bring|send|lend] me [the|a] {colour} {thing} on {day}[?|, please.|.]",
        "I [work|help] at the {place} [every {day}|{time}] and I am [often|always|never] {mood}.",
        "[Tell|Ask] your [sister|brother|neighbour] that the {thing} is [ready|broken|here].",
    ]
    lines = " ".join(teller.say(line) for line in teller.rng.sample(body, teller.rng.randint(3, 5)))
    return teller.say("Dear {B},\n") + lines + teller.say("\n[Your friend|Yours|With love], {A}")


def recipe(teller: Teller) -> str:
    """Instructions with food."""
    steps = [
        "[Wash|Cut|Peel] {number} [plates|baskets|pieces] of {food1}.",
        "Put the {food1} [into a kettle|in a bucket|on a plate].",
        "Add [some|a little|a lot of] {food2} and [wait|stir] for {number} minutes.",
        "[Cook|Warm|Bake] it [slowly|over a small fire] until it is [soft|brown|hot].",
        "Serve it [with {food}|on a {colour} plate|{time}].",
        "[Give|Do not give] the rest to the {animal}.",
    ]
    title = teller.say("How to make {food1} with {food2}:")
    return " ".join([title, *map(teller.say, steps[: teller.rng.randint(4, 6)])])


def dialogue(teller: Teller) -> str:
    """Two people talking in turns."""
    asks = [
        "[Good morning|Hello], {B}. [How are you|Are you {mood}] today?",
        "[Where|When] did you [buy|find|lose] the {colour} {thing}?",
        "[Will you|Can you] come to the {place} on {day}?",
        "[What|How much] {food} do you [need|want]?",
    ]
    replies = [
        "I am {mood}, [thank you|{A}]. It is {sky} [today|again].",
        "[At|Near] the {place} in {town}, {time}.",
        "[Yes|No|Perhaps], I [must|have to|want to] [feed the {animal}|work|mend the {thing}].",
        "{number} [pieces|baskets], please.",
    ]
    picked = teller.rng.sample(range(4), teller.rng.randint(2, 4))
    return "\n".join(
        f"{teller.say('{A}')}: {teller.say(asks[i])}\n{teller.say('{B}')}: {teller.say(replies[i])}" for i in picked
    )


def report(teller: Teller) -> str:
    """News of a market day."""
    lines = [
        "The market of {town} was [full|quiet|busy] on {day}.",
        "{food} cost {number} coins, and {food} cost {number} coins.",
        "A {trade} from {town} [sold|bought] {number} [coats|lamps|baskets|blankets].",
        "The weather was {sky} [and the square was {mood}|all day|until noon].",
        "{A}, the {Atrade}, [said that|told us that] the {place} [is closed|will open on {day}|needs a new {thing}].",
        "[Nobody|A {animal}|A child] [was hurt|was lost|was seen near the {place}].",
    ]
    return " ".join(map(teller.say, [lines[0], *teller.rng.sample(lines[1:], teller.rng.randint(3, 5))]))


def facts(teller: Teller) -> str:
    """What holds for two people, as short sentences or as questions and answers."""
    said = [teller.say(line) for line in teller.rng.sample(FACTS, teller.rng.randint(3, 6))]
    if teller.rng.random() < 0.4:
        asked = [
            "Question: Where does {A} live? Answer: {A} lives in {Atown}.",
            "Question: What is {A}? Answer: {A} is a {Atrade}.",
            "Question: What does {A} like? Answer: {A} likes {Afood}.",
            "Question: Which animal does {A} have? Answer: {A} has a {Aanimal}.",
        ]
        return "\n".join(map(teller.say, teller.rng.sample(asked, 3)))
    return " ".join(said)


def diary(teller: Teller) -> str:
    """A day in the first person."""
    lines = [
        "I [woke up|got up] [early|late] and [ate|cooked] {food}.",
        "[Then|Later] I [went to|worked at|cleaned] the {place} [with {B}|alone|with my {animal}].",
        "{B} [told me|asked me] about the {colour} {thing}.",
        "We [found|mended|sold] {number} [lamps|coats|ropes|bells] {time}.",
        "I was {mood} [all day|because it was {sky}|when I came home].",
        "Tomorrow I will [go to {town}|visit {B}|rest|buy {food}].",
    ]
    return " ".join(map(teller.say, ["{day}. It is {sky} [today|again].", *lines[: teller.rng.randint(4, 6)]]))


KINDS = (story, story, story, letter, recipe, dialogue, report, facts, facts, diary)


def texts(seed: int) -> Iterator[str]:
    """Texts without end; different seeds give different texts in the same language."""
    rng = random.Random(seed)
    while True:
        yield rng.choice(KINDS)(Teller(rng))
