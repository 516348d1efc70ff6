"""One look at a server, from the prompts to the verdict. Knows the order of things and leaves them to their files."""

from __future__ import annotations

from collections.abc import Sequence

from sway_gguf.artifacts.chat import special_token
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.pieces import Pieces
from sway_gguf.core.errors import UserError
from sway_gguf.core.loras import short_names
from sway_gguf.core.served import Heard, Served, Serves
from sway_gguf.engine.http import RefusedError, Server
from sway_gguf.served.asking import Asking, model_of
from sway_gguf.served.candidates import candidates
from sway_gguf.served.decide import heard, is_rounding, together
from sway_gguf.served.expected import Expected, Progress
from sway_gguf.served.forms import Reply
from sway_gguf.served.measuring import by_logprobs, by_replies
from sway_gguf.served.prompts import Prompt

_MOST_PROMPTS = 16
"""Of a way of asking, and of each adapter of a set; so many let a p fall far below the level, whatever it is corrected
for."""
_CLOSE = 0.01
"""Share of the adapter's effect within which no further candidate can be nearer and mean another verdict: a divergence
goes with the square of a scale's distance from 1, and a tenth off is still taken for tuned."""
_TRIED = 3
"""Prompts with which it is found out what a server knows."""
_SENTENCES = {
    (Serves.TUNED, False): "The server serves the adapter on its base.",
    (Serves.TUNED, True): "The server serves all adapters of the set on their base.",
    (Serves.BASE, False): "The adapter is not applied: the server answers as the base alone does.",
    (Serves.BASE, True): "No adapter of the set is applied: the server answers as the base alone does.",
    (Serves.ELSE, False): "Neither the adapter as it was tested nor the base alone: nearest to {nearest}.",
    (Serves.ELSE, True): "Neither the set as it was tested nor the base alone: nearest to {nearest}.",
    (Serves.UNSURE, False): "What the server told does not decide.",
    (Serves.UNSURE, True): "What the server told does not decide.",
}
"""By verdict, and whether a set of several adapters is looked for."""


class Look:
    """Looks at one server, once or again and again, with the same prompts.

    Args:
        expected: predictions of the run.
        others: prompts beside those of its data.
        requests: at most so many are sent in a look, further tries after a passing fault aside.
        seed: of what is drawn.
        progress: shows how far it is.

    Raises:
        UserError: there is nothing to ask.
    """

    def __init__(self, expected: Expected, others: Sequence[str], requests: int, seed: int, progress: Progress) -> None:
        self._expected, self._requests, self._seed, self._progress = expected, requests, seed, progress
        base, self._adapters = expected.prepared.base.path, expected.prepared.spec.models.ft.loras
        self._prompts = expected.prompts(others, _MOST_PROMPTS * len(self._adapters), seed)
        self._pieces = Pieces(base)
        file = GGUFFile(base)
        adds = file.get("tokenizer.ggml.add_bos_token")
        # What the server puts before each text by itself must not stand there twice.
        self._opening = special_token(file, "bos") if adds or adds is None else ""

    def at(self, server: Server, model: str = "") -> Served:
        """Ask the server, and hold what it tells against every candidate.

        Raises:
            UserError: it cannot be asked at all.
        """
        server.requests = 0
        name, fresh = model_of(server, model)
        ways = {
            way: Asking(server, way, name, self._opening, fresh=fresh)
            for way, prompts in self._prompts.items()
            if prompts
        }
        able = {way: asking for way, asking in ways.items() if asking.begin(self._prompts[way][:_TRIED])}
        if not able:
            raise UserError(next(asking.refusal for asking in ways.values()))
        remarks = [f"as {way} it cannot be asked: {ways[way].refusal}" for way in ways if way not in able]
        each = max(1, (self._requests - server.requests) // len(able))
        found = [self._heard(asking, self._prompts[way][:each], len(able), remarks) for way, asking in able.items()]
        serves, p = together(found)
        prepared = self._expected.prepared
        return Served(
            url=server.root,
            model=name,
            serves=serves,
            sentence=_SENTENCES[serves, len(self._adapters) > 1].format(nearest=_nearest(found)),
            p=p,
            heard=tuple(found),
            requests=server.requests,
            base=str(prepared.base.path),
            adapter=prepared.name,
            adapters=short_names(self._adapters),
            format=prepared.texts.speech.name,
            remarks=tuple(remarks),
            seed=self._seed,
        )

    def _heard(self, asking: Asking, prompts: Sequence[Prompt], ways: int, remarks: list[str]) -> Heard:
        """The verdict of one way. What is told to rounding by tuned, base or half needs no further candidates."""
        answered = self._asked(asking, prompts, remarks)
        prepared, way = self._expected.prepared, asking.asked_as
        everything = candidates(prepared.spec, prepared.texts.speech, way, [prompt for prompt, _ in answered])
        if not asking.tells:
            remarks.append(f"as {way} it gives no log-probabilities; its greedy replies were compared, which tell less")
            return heard(by_replies(asking, answered, everything, self._expected, ways), self._seed)
        for few in ([each for each in everything if each.is_plain], everything):
            found = heard(by_logprobs(asking, answered, few, self._expected, self._pieces, ways), self._seed)
            nearest = found.fits[0].distance
            if found.serves != Serves.UNSURE and is_rounding(nearest, found.floor) and nearest <= _CLOSE * found.effect:
                break
        return found

    def _asked(self, asking: Asking, prompts: Sequence[Prompt], remarks: list[str]) -> list[tuple[Prompt, Reply]]:
        """Prompts with their answers; those that the server refuses, or answers with the end at once, are left out."""
        found, refused = [], ""
        with self._progress(len(prompts), unit="requests") as advance:
            for prompt in prompts:
                try:
                    reply = asking.reply(prompt)
                except RefusedError as error:
                    refused = str(error)
                else:
                    if reply.first or not asking.tells:
                        found.append((prompt, reply))
                advance(asking.endpoint, 1)
        if not found:
            raise UserError(refused or f"{asking.endpoint}: no prompt was answered with log-probabilities")
        if refused:
            remarks.append(f"some prompts were refused: {refused}")
        return found


def _nearest(found: Sequence[Heard]) -> str:
    """What the way of asking that does not find the adapter found, or else the first."""
    told = [*(each for each in found if each.serves == Serves.ELSE), *found]
    return told[0].fits[0].name + (f", as {told[0].asked_as}" if len(found) > 1 else "")
