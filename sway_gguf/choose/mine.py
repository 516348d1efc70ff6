"""Looks through a pool for the prompts that an adapter moves most, or the rewordings that it answers worst.

Gives entries for a spec. What was picked by looking at an adapter cannot test that adapter, so every entry carries its
hash: the run then leaves it undecided, and judges it for every other adapter. Knows prompts and scores, no YAML.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sway_gguf.collect import collect, groups_of
from sway_gguf.core.answers import Answers
from sway_gguf.core.divergence import js
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Completion, NextToken, Query
from sway_gguf.core.sections import Paraphrase, Section
from sway_gguf.core.views import BASE, TUNED
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.material.chunks import prompts_from
from sway_gguf.material.read import read_material, read_text
from sway_gguf.material.records import holds_records
from sway_gguf.probes.sources import as_it_is
from sway_gguf.suite.speech import Speech


def mined(
    backend: DoorBackend, pool: Path, most: int, picked_on: str, holds: Callable[[Query], bool], speech: Speech
) -> dict[str, Any]:
    """A suite entry from a pool: paraphrase cases where the pool holds some, else prompts.

    Args:
        backend: base and adapter.
        pool: JSONL with prompt, gold and paraphrases; or prompts, one per line, or any text that `data` may hold.
        most: prompts to keep, or rewordings per case.
        picked_on: the adapter's hash.
        holds: whether the context holds a query; prompts that it does not hold are left out.
        speech: the run's format, in which the pool is asked; the entry has the words that were asked.

    Raises:
        UserError: the pool cannot be read or holds nothing of use, or the format's template refuses it.
    """
    body: dict[str, Any]
    if cases := _cases(pool):
        body = {"cases": [hardest(backend, case, most, speech.unit) for case in cases]}
    else:
        prompts = [prompt for prompt in pool_prompts(pool, speech) if holds(NextToken(speech.request(prompt)))]
        body = {"prompts": most_moved(backend, prompts, most, speech.request)}
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


def most_moved(
    backend: DoorBackend, prompts: Sequence[str], most: int, spoken: Callable[[str], str] = as_it_is
) -> list[str]:
    """The prompts whose next-token distribution moves furthest from base to tuned (JS), the furthest first."""
    asked = {prompt: spoken(prompt) for prompt in prompts}
    base, tuned = _both(backend, [NextToken(text) for text in asked.values()])
    moved = {prompt: js(base.next_token(text), tuned.next_token(text)) for prompt, text in asked.items()}
    return sorted(prompts, key=lambda prompt: -moved[prompt])[:most]


def hardest(
    backend: DoorBackend, case: Paraphrase, most: int, spoken: Callable[[Paraphrase], Paraphrase] = as_it_is
) -> dict[str, Any]:
    """The case with those of its rewordings after which the gold reply gained least, the hardest first."""
    asked = spoken(case)
    base, tuned = _both(backend, [Completion(prompt, asked.reply) for prompt in asked.paraphrases])
    lift = {
        prompt: tuned.completion(text, asked.reply).mean_logprob - base.completion(text, asked.reply).mean_logprob
        for prompt, text in zip(case.paraphrases, asked.paraphrases, strict=True)
    }
    kept = sorted(case.paraphrases, key=lift.__getitem__)[:most]
    return {"prompt": case.prompt, "gold": case.gold, "paraphrases": kept}


def _both(backend: DoorBackend, queries: Sequence[Query]) -> tuple[Answers, Answers]:
    units = groups_of({"pool": queries})
    return collect(backend, BASE, units), collect(backend, TUNED, units)
