"""What a server may be serving: the adapter at several scales, other templates, log-probabilities shaped by sampling.

Each is what base and adapter predict here, on the very files. Knows views and templates; compares nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

from sway_gguf.artifacts.chat import family_template, special_tokens
from sway_gguf.artifacts.families import FAMILIES
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.core.dialogue import SYSTEM, Dialogue, Render, Turn, exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.listing import listed
from sway_gguf.core.loras import short_names
from sway_gguf.core.served import Serves
from sway_gguf.core.views import BASE, TUNED, MemberView, PartView, ScaledView, SetPart, View
from sway_gguf.served.prompts import CHAT, Prompt
from sway_gguf.spec.model import Spec
from sway_gguf.suite.speech import Speech

HALF = ScaledView(0.5)
_SCALES = (0.25, 0.5, 0.75, 1.5, 2.0)
_NEARLY = (0.9, 1.1)
"""Scales that another quantization cannot be told from full scale by; they are said, and are tuned."""
_TEMPERATURES = (0.5, 0.7, 0.8, 1.25)
_SYSTEMS = ("", "You are a helpful assistant.")
"""System turns that servers add by themselves."""
_PICKING = (BASE, HALF, TUNED)
"""Views by which prompts are picked."""
MOST_PARTS = 4
"""Adapters of a set of which every part is thought of; of 4 there are 14. Of more only each alone, and all but each."""
Put = Callable[[Prompt], str]
"""The text that a server makes of a prompt."""


@dataclass(frozen=True)
class Candidate:
    """One thing that a server may serve.

    Attributes:
        name: for the report.
        view: of the model.
        put: how the server would put a prompt; None for as it is.
        means: the verdict where it is the one.
        temperature: by which its log-probabilities are shaped.
    """

    name: str
    view: View
    means: Serves
    put: Put | None = None
    temperature: float = 1.0

    @property
    def is_plain(self) -> bool:
        """Whether it is predicted where prompts are picked already."""
        return self.put is None and self._picks

    @property
    def is_apart(self) -> bool:
        """Whether its greedy replies are others than those of its neighbours."""
        return self._picks and self.temperature == 1.0

    @property
    def _picks(self) -> bool:
        return self.view in _PICKING or isinstance(self.view, SetPart)

    def text(self, prompt: Prompt) -> str:
        """What stands before the first token.

        Raises:
            UserError: the template refuses it.
        """
        return prompt.text if self.put is None else self.put(prompt)


def candidates(spec: Spec, speech: Speech, asked_as: str, prompts: Sequence[Prompt]) -> list[Candidate]:
    """All that is thought of for prompts asked as text or as chat; tuned and base come first.

    A template that refuses one of the prompts, or puts all of them as another one does, is left out.
    """
    plain = [Candidate("tuned", TUNED, Serves.TUNED), Candidate("base", BASE, Serves.BASE)]
    scales = [(ScaledView(scale), Serves.ELSE) for scale in _SCALES]
    scales += [(ScaledView(scale), Serves.TUNED) for scale in _NEARLY]
    found = [*plain, *_parts(spec), *(Candidate(str(view), view, means) for view, means in scales)]
    for each in plain:
        shaped = (Candidate(f"{each.name}, shaped by a temperature of {heat:g}", each.view,
                            each.means, temperature=heat) for heat in _TEMPERATURES)  # fmt: skip
        found += shaped
    known = {_texts(None, prompts)}
    for name, way, same in _ways(spec, speech, asked_as):
        put = cache(way)
        texts = _texts(put, prompts)
        if texts is None or texts in known:
            continue
        known.add(texts)
        found += [Candidate(f"{e.name}, {name}", e.view, e.means if same else Serves.ELSE, put) for e in plain]
    return found


def parts_of(count: int) -> list[tuple[int, ...]]:
    """Places of what may be left of a set of so many adapters where a server forgot some, smaller parts first."""
    whole = range(count)
    sizes = whole[1:] if count <= MOST_PARTS else (1, count - 1)
    return [part for size in sizes for part in combinations(whole, size)]


def part_view(places: Sequence[int]) -> View:
    """The view of a part of a set."""
    return MemberView(places[0]) if len(places) == 1 else PartView(tuple(places))


def without_one(found: Sequence[Candidate]) -> list[Candidate]:
    """Those that lack a single member of a set; none for an adapter by itself."""
    count = sum(isinstance(each.view, MemberView) for each in found)
    views = [part_view(part) for part in parts_of(count) if len(part) == count - 1]
    return [each for each in found if each.view in views]


def _parts(spec: Spec) -> list[Candidate]:
    """Each part of a set without the others; none for an adapter by itself."""
    names = short_names(spec.models.ft.loras)
    found = []
    for part in parts_of(len(names)):
        missing = [name for place, name in enumerate(names) if place not in part]
        lacks = f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} not applied"
        which = listed([names[place] for place in part])
        found.append(Candidate(f"{which} alone: {lacks}", part_view(part), Serves.ELSE))
    return found


def _texts(put: Put | None, prompts: Sequence[Prompt]) -> tuple[str, ...] | None:
    try:
        return tuple(prompt.text if put is None else put(prompt) for prompt in prompts)
    except UserError:
        return None


def _ways(spec: Spec, speech: Speech, asked_as: str) -> list[tuple[str, Put, bool]]:
    """Other ways to put a prompt: a name, the way, and whether a server that puts it so does no wrong."""
    own = speech.own
    if asked_as != CHAT:
        # Ollama takes a text to be a user's turn unless it is told not to.
        return [] if own is None else [("the text put through the chat template", _wrapping(own), True)]
    ways: list[tuple[str, Put, bool]] = []
    if own is not None:
        ways.append(("the base's own chat template", _through(own), False))
    spoken: Render | None = speech.template.render if speech.template else own
    if spoken is not None:
        for system in _SYSTEMS:
            name = f"a system turn {system!r} added" if system else "an empty system turn added"
            ways.append((name, _opened(spoken, system), False))
        ways.append(("the system turn left out", _without_system(spoken), False))
    special = special_tokens(GGUFFile(spec.models.base.base))
    for name in FAMILIES:
        render = family_template(name, special, spec.template_kwargs)
        ways.append((f"the {name} template", _through(render), False))
        if name == "chatml":
            ways.append((f"the {name} template with an empty system turn", _opened(render, ""), False))
    return ways


def _dialogue(prompt: Prompt) -> Dialogue:
    assert prompt.dialogue is not None
    return prompt.dialogue


def _through(render: Render) -> Put:
    return lambda prompt: render(_dialogue(prompt))


def _wrapping(render: Render) -> Put:
    return lambda prompt: render(exchange(prompt.text))


def _opened(render: Render, system: str) -> Put:
    def put(prompt: Prompt) -> str:
        dialogue = _dialogue(prompt)
        if dialogue.turns[0].role == SYSTEM:
            return prompt.text
        return render(Dialogue((Turn(SYSTEM, system), *dialogue.turns)))

    return put


def _without_system(render: Render) -> Put:
    def put(prompt: Prompt) -> str:
        dialogue = _dialogue(prompt)
        if dialogue.turns[0].role != SYSTEM:
            return prompt.text
        return render(Dialogue(dialogue.turns[1:]))

    return put
