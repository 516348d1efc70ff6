"""Looks through a pool for the prompts that an adapter moves most, or the rewordings that it answers worst.

Gives entries for a spec. What was picked by looking at an adapter cannot test that adapter, so every entry carries its
hash: the run then leaves it undecided, and judges it for every other adapter. Knows prompts and scores, no YAML.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sway_gguf.collect import collect, groups_of
from sway_gguf.core.answers import Answers
from sway_gguf.core.divergence import js
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Completion, NextToken, Query
from sway_gguf.core.sections import Paraphrase, Section
from sway_gguf.core.views import BASE, TUNED, View
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.material.chunks import prompts_from
from sway_gguf.material.read import read_material, read_text
from sway_gguf.material.records import holds_records
from sway_gguf.suite.speech import Speech
from sway_gguf.suite.watched import Watching

_PORTION = 256
"""Prompts asked at a time, about: a row of the vocabulary of each is in memory, of base and tuned view."""


class _Asked(NamedTuple):
    """What both views answered to a portion of the pool."""

    base: Answers
    tuned: Answers


def mined(
    backend: DoorBackend,
    pool: Path,
    most: int,
    picked_on: str,
    holds: Callable[[Query], bool],
    speech: Speech,
    watching: Watching | None = None,
) -> dict[str, Any]:
    """A suite entry from a pool: paraphrase cases where the pool holds some, else prompts.

    Args:
        backend: base and adapter.
        pool: JSONL with prompt, gold and paraphrases; or prompts, one per line, or any text that `data` may hold.
        most: prompts to keep, or rewordings per case.
        picked_on: the adapter's hash.
        holds: whether the context holds a query; prompts that it does not hold are left out.
        speech: the run's format, in which the pool is asked; the entry has the words that were asked.
        watching: shows progress.

    Raises:
        UserError: the pool cannot be read or holds nothing of use, or the format's template refuses it.
    """
    both = partial(_both, backend, watching or (lambda least, most: nullcontext(_unheard)))
    body: dict[str, Any]
    if cases := _cases(pool):
        body = {"cases": _hardest(both, cases, most, speech)}
    else:
        spoken = {prompt: speech.request(prompt) for prompt in pool_prompts(pool, speech)}
        body = {"prompts": _most_moved(both, {p: text for p, text in spoken.items() if holds(NextToken(text))}, most)}
    return {**outline(pool), **body, "picked_on": picked_on}


def outline(pool: Path) -> dict[str, Any]:
    """Name and kind of the entry that `mined` will give; takes no model.

    Raises:
        UserError: the pool cannot be read.
    """
    kind = "paraphrase_invariance" if _cases(pool) else "delta_kl"
    return {"name": f"mined {kind}", "kind": kind}


def _cases(pool: Path) -> tuple[Paraphrase, ...]:
    return read_material(pool).paraphrases if holds_records(pool) else ()


def pool_prompts(pool: Path, speech: Speech) -> list[str]:
    """Prompts of a pool: the lines of plain text, or what the sections of other data ask, not yet in any format.

    Raises:
        UserError: fewer than two.
    """
    if pool.suffix.lower() in {".txt", ""}:
        prompts = [line.strip() for line in read_text(pool).splitlines() if line.strip()]
    else:
        prompts = prompts_from([_asking(section, speech) for section in read_material(pool).sections], 1_000_000)
    distinct = list(dict.fromkeys(prompts))
    if len(distinct) < 2:
        raise UserError(f"{pool}: {len(distinct)} prompts leave nothing to pick from; give one per line")
    return distinct


def _asking(section: Section, speech: Speech) -> Section:
    """A section whose prompt is in the user's own words, where a template would write around them."""
    asked = section.dialogue.asked if section.dialogue and speech.template else ""
    return replace(section, prompt=asked or section.prompt)


Both = Callable[[Sequence[Sequence[Query]]], Iterator[_Asked]]
"""Asks both views portion by portion."""


def _most_moved(both: Both, spoken: dict[str, str], most: int) -> list[str]:
    """The prompts whose next-token distribution moves furthest from base to tuned (JS), the furthest first."""
    portions = _portions(list(spoken.values()))
    moved: dict[str, float] = {}
    for portion, found in zip(portions, both([[*map(NextToken, portion)] for portion in portions]), strict=True):
        moved |= {text: js(found.base.next_token(text), found.tuned.next_token(text)) for text in portion}
    return sorted(spoken, key=lambda prompt: -moved[spoken[prompt]])[:most]


def _portions(texts: Sequence[str]) -> list[list[str]]:
    """By what they are, so that one text more is asked with its own portion alone until their number doubles."""
    count = 1 << ((len(texts) - 1) // _PORTION).bit_length()
    found: list[list[str]] = [[] for _ in range(count)]
    for text in texts:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        found[int.from_bytes(digest[:4], "big") % count].append(text)
    return [portion for portion in found if portion]


def _hardest(both: Both, cases: Sequence[Paraphrase], most: int, speech: Speech) -> list[dict[str, Any]]:
    """Each case with those of its rewordings after which the gold reply gained least, the hardest first."""
    spoken = [speech.unit(case) for case in cases]
    (found,) = both([[Completion(prompt, case.reply) for case in spoken for prompt in case.paraphrases]])

    def lift(prompt: str, reply: str) -> float:
        return found.tuned.completion(prompt, reply).mean_logprob - found.base.completion(prompt, reply).mean_logprob

    entries = []
    for case, asked in zip(cases, spoken, strict=True):
        gained = {own: lift(text, asked.reply) for own, text in zip(case.paraphrases, asked.paraphrases, strict=True)}
        kept = sorted(case.paraphrases, key=gained.__getitem__)[:most]
        entries.append({"prompt": case.prompt, "gold": case.gold, "paraphrases": kept})
    return entries


def _both(backend: DoorBackend, watching: Watching, portions: Sequence[Sequence[Query]]) -> Iterator[_Asked]:
    asked = [groups_of({"pool": portion}) for portion in portions]
    tokens = sum(backend.count_tokens_of(group.queries) for groups in asked for group in groups)
    with watching(2 * tokens, 2 * tokens) as told:
        for groups in asked:
            base, tuned = (collect(backend, view, groups, partial(told, view)) for view in (BASE, TUNED))
            yield _Asked(base, tuned)


def _unheard(view: View, tokens: int) -> None:
    """Progress that nobody watches."""
