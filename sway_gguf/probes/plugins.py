"""Probe kinds that other packages bring, by the entry point group `sway_gguf.probes`. Knows both forms of a probe."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from sway_gguf.core.errors import UserError
from sway_gguf.probes.base import Probe
from sway_gguf.probes.foreign import adapted

GROUP = "sway_gguf.probes"


@cache
def plugin_kinds() -> Mapping[str, type[Probe[Any]]]:
    """Kinds by name.

    Raises:
        UserError: an installed plugin cannot be loaded or is no probe; it names the package.
    """
    return {probe.kind: probe for probe in map(_loaded, entry_points(group=GROUP))}


def _loaded(entry: EntryPoint) -> type[Probe[Any]]:
    try:
        found = entry.load()
    except (ImportError, AttributeError) as error:
        raise UserError(f"probe plugin {entry.value}: cannot be loaded ({error}); mend or uninstall it") from error
    if isinstance(found, type) and issubclass(found, Probe):
        return found
    try:
        return adapted(found)
    except TypeError as error:
        raise UserError(f"probe plugin {entry.value}: {error}; a probe class is wanted") from None
