"""What changed between runs of one suite: conditions, axes, and every probe over the same items.

Refuses runs that asked different things. Knows results; no engine, no spec.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sway_gguf.core.comparison import AxisChange, Comparison, Condition, ProbeChange
from sway_gguf.core.errors import UserError
from sway_gguf.core.listing import few
from sway_gguf.core.loras import scaled_name
from sway_gguf.core.result import SuiteResult
from sway_gguf.verdict.changes import changes

_DIGITS = 12


def compare(old_name: str, old: SuiteResult, new_name: str, new: SuiteResult, *, lenient: bool = False) -> Comparison:
    """What changed from `old` to `new`.

    Args:
        old_name, new_name: of the results, for the record and for errors.
        old, new: of one suite.
        lenient: compare what both asked where they did not ask the same.

    Raises:
        UserError: no probe in common, or items that only one of them has.
    """
    found = changes(old, new)
    mine, theirs = ([(probe.name, probe.kind) for probe in result.probes] for result in (old, new))
    if not found:
        raise UserError(f"{new_name}: no probe in common with {old_name}; run the same suite on both")
    if not lenient:
        for change in found:
            _same_items(change, old_name, new_name)
    later = {axis.axis: axis.verdict for axis in new.axes}
    return Comparison(
        old_name,
        new_name,
        old.diagnosis,
        new.diagnosis,
        old.alpha,
        tuple(Condition(name, *sides) for name, sides in _conditions(old, new)),
        tuple(AxisChange(axis.axis, axis.verdict, later[axis.axis]) for axis in old.axes if axis.axis in later),
        found,
        tuple(name for name, kind in mine if (name, kind) not in theirs),
        tuple(name for name, kind in theirs if (name, kind) not in mine),
    )


def _same_items(change: ProbeChange, old_name: str, new_name: str) -> None:
    alone = [*((label, old_name) for label in change.only_old), *((label, new_name) for label in change.only_new)]
    if alone:
        some = few([f"{label} (in {name})" for label, name in alone])
        raise UserError(
            f"{change.name}: {len(alone)} items stand in one result alone: {some}; run the same suite with the "
            "same data and seed, or add --lenient to compare what is in both"
        )


def _conditions(old: SuiteResult, new: SuiteResult) -> Iterator[tuple[str, tuple[str, str]]]:
    """What differs beside the findings, by name."""
    before, after = _stated(old), _stated(new)
    for name in dict.fromkeys([*before, *after]):
        sides = before.get(name, "–"), after.get(name, "–")
        if sides[0] != sides[1]:
            yield name, sides


def _stated(result: SuiteResult) -> dict[str, str]:
    # The same contents under another name are the same file.
    found: dict[str, str] = {}
    for record in result.files:
        scale = record.adapter.scale if record.adapter else 1.0
        told = scaled_name(record.sha256[:_DIGITS], scale)
        found[record.role] = f"{found[record.role]} + {told}" if record.role in found else told
    for record in result.files:
        if record.base:
            found["types of weights"] = ", ".join(f"{kind} {count}" for kind, count in record.base.types.items())
    nulls = result.nulls
    found |= {
        "nulls": f"{nulls.count} {nulls.design}, rank scale {nulls.rank_scale:g}",
        "seed": str(result.seed),
        "alpha": f"{result.alpha:g}",
        "format": result.format,
    }
    return found | _flat("engine", result.engine) | _flat("library", result.libraries)


def _flat(group: str, settings: Mapping[str, object]) -> dict[str, str]:
    return {f"{group} {name}": str(value) for name, value in settings.items()}
