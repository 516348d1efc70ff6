"""One look at a server, from the prompts to the verdict. Knows the order of things and leaves them to their files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sway_gguf.artifacts.chat import special_token
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.pieces import Pieces
from sway_gguf.core.errors import UserError
from sway_gguf.core.served import Heard, Served, Serves
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED
from sway_gguf.served.asking import Asking, model_of
from sway_gguf.served.candidates import HALF, Candidate, candidates
from sway_gguf.served.decide import LOGPROBS, REPLIES, Measured, heard, together
from sway_gguf.served.distances import between, from_told, known, of_replies, tempered
from sway_gguf.served.expected import Expected, Progress
from sway_gguf.served.forms import Reply
from sway_gguf.served.http import RefusedError, Server
from sway_gguf.served.prompts import Prompt

_MOST_PROMPTS = 16
"""Of a way of asking; so many let a p fall far below the level, whatever it is corrected for."""
_TRIED = 3
"""Prompts with which it is found out what a server knows."""
_SENTENCES = {
    Serves.TUNED: "The server serves the adapter on its base.",
    Serves.BASE: "The adapter is not applied: the server answers as the base alone does.",
    Serves.ELSE: "Neither the adapter as it was tested nor the base alone: nearest to {nearest}.",
    Serves.UNSURE: "What the server told does not decide.",
}


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
        self._prompts = expected.prompts(others, _MOST_PROMPTS, seed)
        base = expected.prepared.base.path
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
        name = model_of(server, model)
        ways = {way: Asking(server, way, name, self._opening) for way, prompts in self._prompts.items() if prompts}
        able = {way: asking for way, asking in ways.items() if asking.begin(self._prompts[way][:_TRIED])}
        if not able:
            raise UserError(next(asking.refusal for asking in ways.values()))
        remarks = [f"as {way} it cannot be asked: {ways[way].refusal}" for way in ways if way not in able]
        each = max(1, (self._requests - server.requests) // len(able))
        found = [
            self._heard(way, asking, self._prompts[way][:each], len(able), remarks) for way, asking in able.items()
        ]
        serves, p = together(found)
        prepared = self._expected.prepared
        return Served(
            url=server.root,
            model=name,
            serves=serves,
            sentence=_SENTENCES[serves].format(nearest=_nearest(found)),
            p=p,
            heard=tuple(found),
            requests=server.requests,
            base=str(prepared.base.path),
            adapter=str(prepared.adapter.path),
            format=prepared.texts.speech.name,
            remarks=tuple(remarks),
            seed=self._seed,
        )

    def _heard(self, way: str, asking: Asking, prompts: Sequence[Prompt], ways: int, remarks: list[str]) -> Heard:
        answered = self._asked(asking, prompts, remarks)
        if asking.tells:
            measured = self._by_logprobs(way, asking, answered, ways)
        else:
            remarks.append(f"as {way} it gives no log-probabilities; its greedy replies were compared, which tell less")
            measured = self._by_replies(way, asking, answered, ways)
        return heard(measured, self._seed)

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

    def _by_logprobs(self, way: str, asking: Asking, answered: Sequence[tuple[Prompt, Reply]], ways: int) -> Measured:
        expected, prompts = self._expected, [prompt for prompt, _ in answered]
        found, rerun = self._candidates(way, prompts), Candidate("rounding", BASE_RERUN, Serves.BASE)
        expected.answer([*found, rerun], prompts)
        told = [known(reply.first, self._pieces) for _, reply in answered]
        pairs = list(zip(prompts, told, strict=True))
        tuned, base = found[:2]
        distances = [
            [from_told(each, tempered(expected.row(one, prompt), one.temperature)) for prompt, each in pairs]
            for one in found
        ]
        effect = [between(each, expected.row(tuned, prompt), expected.row(base, prompt)) for prompt, each in pairs]
        floor = [between(each, expected.row(base, prompt), expected.row(rerun, prompt)) for prompt, each in pairs]
        return Measured(
            way,
            asking.endpoint,
            LOGPROBS,
            found,
            np.array(distances),
            np.array(effect),
            np.array([each.strange for each in told]),
            float(np.mean(floor)),
            ways,
        )

    def _by_replies(self, way: str, asking: Asking, answered: Sequence[tuple[Prompt, Reply]], ways: int) -> Measured:
        expected, prompts = self._expected, [prompt for prompt, _ in answered]
        plain = (BASE, TUNED, HALF)
        found = [each for each in self._candidates(way, prompts) if each.temperature == 1.0 and each.view in plain]
        expected.answer(found, prompts, replies=True)
        distances = [
            [of_replies(reply.text, expected.reply(candidate, prompt)) for prompt, reply in answered]
            for candidate in found
        ]
        tuned, base = found[:2]
        effect = [of_replies(expected.reply(tuned, prompt), expected.reply(base, prompt)) for prompt in prompts]
        strange = np.zeros(len(prompts))
        table, effects = np.array(distances), np.array(effect)
        return Measured(way, asking.endpoint, REPLIES, found, table, effects, strange, ways=ways)

    def _candidates(self, way: str, prompts: Sequence[Prompt]) -> list[Candidate]:
        prepared = self._expected.prepared
        return candidates(prepared.spec, prepared.texts.speech, way, prompts)


def _nearest(found: Sequence[Heard]) -> str:
    """What the way of asking that does not find the adapter found, or else the first."""
    told = [*(each for each in found if each.serves == Serves.ELSE), *found]
    return told[0].fits[0].name + (f", as {told[0].asked_as}" if len(found) > 1 else "")
