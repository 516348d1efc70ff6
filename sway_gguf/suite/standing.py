"""On how much of its items a probe stands, by who is asked. Knows probes' panels; neither views nor verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from sway_gguf.probes.base import Probe


class Standing(StrEnum):
    """On what a probe stands: on all, on the panel, or on the part of it that the first look takes, its items alone."""

    WHOLE = "whole"
    PANEL = "panel"
    PART = "part"


Standers = Mapping[Standing, tuple[Probe[Any], ...]]
"""The probes of a run, as they stand."""


def standers(probes: Sequence[Probe[Any]], panel: int | None, part: int | None) -> Standers:
    """The probes in every standing.

    Args:
        probes: of the run.
        panel: items of it; None for all, with all other text.
        part: items of the first look; None for none.
    """
    found = {Standing.WHOLE: tuple(probes), Standing.PANEL: _on(probes, panel, bare=False)}
    if part is None:
        return found
    return found | {Standing.PART: _on(probes, part if panel is None else min(part, panel), bare=True)}


def _on(probes: Sequence[Probe[Any]], most: int | None, *, bare: bool) -> tuple[Probe[Any], ...]:
    return tuple(probe if most is None else probe.on_panel(most, bare=bare) for probe in probes)
