"""From a server's answers to a table of distances: each candidate's predictions held against what was told.

Knows answers and predictions; judges nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sway_gguf.artifacts.pieces import Pieces
from sway_gguf.core.served import Serves
from sway_gguf.core.views import BASE_RERUN
from sway_gguf.served.asking import Asking
from sway_gguf.served.candidates import Candidate, without_one
from sway_gguf.served.decide import LOGPROBS, REPLIES, Measured
from sway_gguf.served.distances import between, from_told, known, of_replies, tempered
from sway_gguf.served.expected import Expected
from sway_gguf.served.forms import Reply
from sway_gguf.served.prompts import Prompt

Answered = Sequence[tuple[Prompt, Reply]]
_RERUN = Candidate("rounding", BASE_RERUN, Serves.BASE)


def by_logprobs(
    asking: Asking, answered: Answered, found: Sequence[Candidate], expected: Expected, pieces: Pieces, ways: int
) -> Measured:
    """Distances of first tokens.

    Args:
        asking: the way in which the server was asked.
        answered: prompts with what it told.
        found: candidates, tuned and base first.
        expected: their predictions.
        pieces: the base's vocabulary.
        ways: of asking that are decided on.
    """
    prompts = [prompt for prompt, _ in answered]
    expected.answer([*found, _RERUN], prompts)
    told = [known(reply.first, pieces) for _, reply in answered]
    pairs = list(zip(prompts, told, strict=True))
    tuned, base = found[:2]
    distances = [
        [from_told(each, tempered(expected.row(one, prompt), one.temperature)) for prompt, each in pairs]
        for one in found
    ]
    effect = [between(each, expected.row(tuned, prompt), expected.row(base, prompt)) for prompt, each in pairs]
    floor = [between(each, expected.row(base, prompt), expected.row(_RERUN, prompt)) for prompt, each in pairs]
    alone = [
        float(
            np.mean([between(each, expected.row(tuned, prompt), expected.row(one, prompt)) for prompt, each in pairs])
        )
        for one in without_one(found)
    ]
    return Measured(
        asking.asked_as,
        asking.endpoint,
        LOGPROBS,
        found,
        np.array(distances),
        np.array(effect),
        np.array([each.strange for each in told]),
        float(np.mean(floor)),
        ways,
        min(alone, default=None),
    )


def by_replies(
    asking: Asking, answered: Answered, everything: Sequence[Candidate], expected: Expected, ways: int
) -> Measured:
    """Distances of greedy replies, to candidates whose replies a temperature does not change and that differ enough.

    Args: as of `by_logprobs`.
    """
    prompts = [prompt for prompt, _ in answered]
    found = [each for each in everything if each.is_apart]
    expected.answer(found, prompts, replies=True)
    distances = [[of_replies(reply.text, expected.reply(one, prompt)) for prompt, reply in answered] for one in found]
    tuned, base = found[:2]
    effect = [of_replies(expected.reply(tuned, prompt), expected.reply(base, prompt)) for prompt in prompts]
    alone = [
        float(np.mean([of_replies(expected.reply(tuned, prompt), expected.reply(one, prompt)) for prompt in prompts]))
        for one in without_one(found)
    ]
    table, effects, strange = np.array(distances), np.array(effect), np.zeros(len(prompts))
    least = min(alone, default=None)
    return Measured(asking.asked_as, asking.endpoint, REPLIES, found, table, effects, strange, ways=ways, least=least)
