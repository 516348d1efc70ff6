"""Draws what replaying a merge found: what holds the adapter, what lacks it, and at which scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console

from sway_gguf.core.replay import Replay, TensorReplay, kept_by_rounding
from sway_gguf.report.inspection import print_relation
from sway_gguf.report.modules import by_kind

_LITTLE = 0.9
"""Share of the update below which it is told how much rounding leaves."""
_ENOUGH_NAMES = 6


def print_replay(found: Replay, console: Console) -> None:
    """One merged file against base and adapter: a line for each thing to know."""
    for style, how, what in findings(found):
        print_relation(console, style, how, what)
    console.print()


def findings(found: Replay) -> Iterator[tuple[str, str, str]]:
    """(style, what kind of finding, the finding); the first is the answer."""
    if found.of_another_base:
        yield "red", "another base", _other_base(found)
        return
    yield _answer(found)
    yield from _by_tensor(found)
    if found.strangers:
        yield "red", "not the base's", f"{_names(found.strangers)}: the adapter leaves these alone"
    for how, names in (("is missing", found.missing), ("is not in the base", found.extra)):
        if names:
            yield "red", how, ", ".join(by_kind(names))
    little = kept_by_rounding(found.adapted("whole"), _LITTLE)
    for kind in dict.fromkeys(one.type for one in little):
        least = min(one.left or 0.0 for one in little if one.type == kind)
        of = [one for one in little if one.type == kind]
        yield "yellow", "rounded away", f"{kind} leaves as little as {least:.0%} of the update in {_names(of)}"


def _answer(found: Replay) -> tuple[str, str, str]:
    """Whether the adapter is in the file."""
    adapted, name = found.adapted(), f"{found.adapter}"
    if not adapted:
        return "red", "not merged", f"no tensor that {name} changes is in this file"
    if len(found.adapted("lacks")) == len(adapted):
        return "red", "lacks it", f"nothing of {name} is in this file; the base as it is"
    if (scale := found.common_scale) is not None:
        return "yellow", "merged", f"{name} at {scale:.4g} times its scale, in {_counted(found.adapted('scaled'))}"
    whole = found.adapted("whole")
    if len(whole) == len(adapted):
        same = [one for one in found.untouched if one.state == "whole"]
        others = f"{_counted(same)} as in the base" if same else ""
        return "green", "merged", f"{name}, whole: {_counted(whole)}" + (f"; {others}" if others else "")
    if not whole and not found.adapted("scaled"):
        return "red", "not merged", f"no tensor of this file is {found.base} with {name}"
    return "red", "in part", f"{len(whole)} of {len(adapted)} tensors hold {name} whole"


def _by_tensor(found: Replay) -> Iterator[tuple[str, str, str]]:
    """What is wrong with which tensors."""
    adapted = found.adapted()
    if (lacking := found.adapted("lacks")) and len(lacking) < len(adapted):
        yield "red", "lacks it", _names(lacking)
    if found.common_scale is None:
        for one in found.adapted("scaled"):
            yield "red", "other scale", f"{by_kind([one.name])[0]} holds it at {one.scale:.3g} times its scale"
    if other := found.adapted("other"):
        scales = sorted(one.scale or 0.0 for one in other)
        middle = scales[len(scales) // 2]
        besides = "in its place" if abs(middle) < 0.5 else f"besides it (at {middle:.2g} times its scale)"
        yield "red", "something else", f"{besides} in {_names(other)}"
    if unclear := found.adapted("unclear"):
        kinds = "/".join(dict.fromkeys(one.type for one in unclear))
        yield "yellow", "cannot tell", f"{_names(unclear)}: the update is too small beside the rounding of {kinds}"
    if broken := [one for one in found.tensors if one.state == "broken"]:
        yield "red", "broken", f"NaN or infinity in {_names(broken)}"


def _other_base(found: Replay) -> str:
    if found.reshaped:
        return f"{', '.join(by_kind(found.reshaped)[:_ENOUGH_NAMES])}: other shapes than in {found.base}"
    return (
        f"{len(found.strangers)} of {len(found.untouched)} tensors that the adapter leaves alone are not those of "
        f"{found.base}; give the base that it was merged from"
    )


def _counted(tensors: Sequence[TensorReplay]) -> str:
    """`9 tensors bit for bit, 3 within the rounding of Q4_K`."""
    exact = [one for one in tensors if one.exact]
    rounded = [one for one in tensors if not one.exact]
    kinds = "/".join(dict.fromkeys(one.type for one in rounded))
    parts = [f"{len(exact)} tensors bit for bit"] if exact or not rounded else []
    if rounded:
        parts.append(f"{len(rounded)}{'' if exact else ' tensors'} within the rounding of {kinds}")
    return ", ".join(parts)


def _names(tensors: Sequence[TensorReplay]) -> str:
    return ", ".join(by_kind(one.name for one in tensors))
