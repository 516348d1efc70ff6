"""What a pick will cost, in tokens. Knows what is asked; loads no weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sway_gguf.choose.contenders import Contender
from sway_gguf.choose.pick import Picking
from sway_gguf.collect import CountTokens, count_tokens
from sway_gguf.core.pick import PickPlan
from sway_gguf.suite.run import plan
from sway_gguf.suite.speeds import known_speed


def view_of(picking: Picking, count: CountTokens) -> int:
    """Tokens of each candidate, and of the base."""
    return count_tokens(picking.asked.groups, count)


def cost_of(picking: Picking, contenders: Sequence[Contender], count: CountTokens) -> PickPlan:
    """Tokens of the base and each candidate, and of the nulls of whichever is chosen."""
    view = view_of(picking, count)
    least, most = plan(picking.confirmation(contenders[0], len(contenders))).span(count)
    fixed = picking.fixed.name
    prepared = picking.prepared
    told = PickPlan(
        base=str(prepared.base.path),
        candidates=tuple(contender.name for contender in contenders),
        format=prepared.texts.speech.name,
        data=len(picking.asked.data),
        held_out=len(picking.asked.held_out),
        view=view,
        least=least,
        most=most,
        remarks=(*picking.remarks, *prepared.spec.remarks, *prepared.left_out),
        speed=known_speed(prepared.base, prepared.engine),
        fixed=fixed,
    )
    return replace(told, least=told.candidates_alone + least, most=told.candidates_alone + most)
