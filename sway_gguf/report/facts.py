"""A probe's numbers as words, and the order of verdicts, for formats that are not drawn on a console.

Knows records and how their numbers are written; not where they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from sway_gguf.core.file_records import FileRecord
from sway_gguf.core.loras import scaled_name
from sway_gguf.core.names import file_name
from sway_gguf.core.result import Diagnosis, NullsUsed, ProbeResult, SuiteResult, Verdict
from sway_gguf.report import numbers

_ORDER = (Verdict.ERROR, Verdict.FAIL, Verdict.WARN, Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.SKIP)
T = TypeVar("T")
NO_NULLS = (
    "No null adapters were asked, so nothing here is held against noise of the adapter's size: whether it learned "
    "anything is not judged."
)


def worst_first(found: Iterable[T], verdict: Callable[[T], Verdict]) -> list[T]:
    """In the order of how much they ask for attention; equals stay in theirs."""
    return sorted(found, key=lambda each: _ORDER.index(verdict(each)))


def number_words(probe: ProbeResult) -> dict[str, str]:
    """Value, interval, nulls, z, p and tail p as every report writes them, by their headings."""
    null = probe.null
    return {
        "value": numbers.number(probe.value),
        "95% interval": numbers.span(probe.interval),
        "nulls (mean ± sd)": f"{numbers.number(null.mean)}±{numbers.number(null.sd)}" if null else numbers.MISSING,
        "z": numbers.z_score(null.z if null else None),
        "p": numbers.p_value(null.p if null else None),
        "tail p": numbers.p_value(null.holm_p if null else None),
    }


def tolls_of(probe: ProbeResult) -> tuple[str, ...]:
    """A collateral value in units that a user knows, as a clause; nothing where it has none."""
    return (probe.toll.text,) if probe.toll else ()


def nulls_line(nulls: NullsUsed) -> str:
    """How many nulls there were, of which kind, and the smallest p that they allow."""
    return (
        f"{nulls.count} nulls ({nulls.design}), smallest rank p {numbers.p_value(nulls.smallest_rank_p)}"
        if nulls.count
        else "no nulls"
    )


def look_line(nulls: NullsUsed) -> str:
    """At which look it was decided, and on which items; "" where every null answered everything."""
    told = []
    if nulls.look and nulls.count < nulls.planned:
        why = "the first look decided" if nulls.look == 1 else "no later one could change a verdict"
        told.append(f"{nulls.count} of at most {nulls.planned} nulls were asked: {why}.")
    elif nulls.look:
        told.append(f"The first look did not decide everything, so all {nulls.count} nulls were asked.")
    if nulls.panel and nulls.count:
        told.append(
            f"They answered at most {nulls.panel} items of each probe that they decide, drawn before anything was "
            "asked; there the adapter is held against them, while value and interval are over all items."
        )
    return " ".join(told)


def calls_for(diagnosis: Diagnosis) -> Verdict:
    """The diagnosis as a verdict: what colour it has."""
    return {Diagnosis.HEALTHY: Verdict.PASS, Diagnosis.INCONCLUSIVE: Verdict.INCONCLUSIVE}.get(diagnosis, Verdict.FAIL)


def file_of(result: SuiteResult, role: str) -> FileRecord | None:
    """The first file in a role."""
    return next((record for record in result.files if record.role == role), None)


def adapters_of(result: SuiteResult) -> list[FileRecord]:
    """The records of all adapters that were tested together."""
    return [record for record in result.files if record.role == "adapter"]


def tested(result: SuiteResult) -> str:
    """The adapter's file name, or those of a set, with scales that are not 1; "" where none is recorded."""
    return " + ".join(map(scaled_file, adapters_of(result)))


def scaled_file(record: FileRecord) -> str:
    """An adapter's file name, with its scale where that is not 1."""
    return scaled_name(short_name(record), record.adapter.scale if record.adapter else 1.0)


def short_name(record: FileRecord | None) -> str:
    """A file's own name, on whatever system the run was; "" for none."""
    return file_name(record.path) if record else ""
