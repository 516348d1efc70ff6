"""One run from a prepared spec to a result. Knows the order of things; leaves the things to their layers."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from sway_gguf import __version__
from sway_gguf.artifacts.finite import not_finite
from sway_gguf.core.errors import NonFiniteError
from sway_gguf.core.result import NullsUsed, ProbeResult, SuiteResult, Verdict
from sway_gguf.core.views import NullView, View
from sway_gguf.engine.bare import contract
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.protocol import Backend
from sway_gguf.spec.settings import settings_of
from sway_gguf.stats.calibration import smallest_rank_p
from sway_gguf.suite.able import suited
from sway_gguf.suite.decisions import decisions_of
from sway_gguf.suite.hashed import hashed
from sway_gguf.suite.measure import BaseAnswers, OnProgress, measure
from sway_gguf.suite.prepare import Prepared
from sway_gguf.suite.schedule import Nulls, Schedule, schedule
from sway_gguf.suite.showing import Heard
from sway_gguf.suite.tally import Tally
from sway_gguf.verdict.axes import axes_of, diagnose
from sway_gguf.verdict.judge import judge
from sway_gguf.verdict.learned import learned
from sway_gguf.verdict.looks import FIRST_ITEMS, FIRST_NULLS
from sway_gguf.verdict.quantization import costs_of
from sway_gguf.verdict.reading import Reading
from sway_gguf.verdict.score import score_of

ASSUMPTIONS = {
    "rotation": (
        "Nulls are random rotations of your {what}'s own update: for every input they are exactly as large, "
        "in a random direction. The rank p is exact for an untrained {what}; the tail p also takes the null "
        "values to be near to normal."
    ),
    "spectrum": (
        "Nulls keep the singular values of your {what}'s update and turn both its bases at random. The p-values "
        "take your {what} to be one of them if it learned nothing; the tail p also takes them to be near to normal."
    ),
    "gaussian": (
        "Nulls are Gaussian factors of a fixed size, whatever your {what}'s: a large z may only say that your "
        "{what} is larger. The tail p takes the null values to be near to normal."
    ),
}
"""Of an adapter, or of a set of them, which is rotated as one."""
_LIBRARIES = ("llama-cpp-python", "gguf", "numpy", "scipy", "pydantic")


def plan(prepared: Prepared) -> Schedule:
    """What the run will visit."""
    defaults = prepared.spec.defaults
    profile = tuple(dict.fromkeys(defaults.null_profile))
    nulls = Nulls(
        prepared.seeds,
        prepared.design,
        [scale for scale in profile if scale != prepared.design.rank_scale],
        defaults.panel or None,
        first_look(prepared),
        everything=defaults.nulls_for_everything,
    )
    return schedule(prepared.probes, nulls, prepared.example.queries)


def first_look(prepared: Prepared) -> int | None:
    """Nulls of the first look; None for a single look, as where a probe asks every null by itself."""
    alone = any(probe.foreign and probe.rule.by_nulls for probe in prepared.probes)
    several = prepared.spec.defaults.looks > 1 and prepared.spec.defaults.nulls > FIRST_NULLS
    return FIRST_NULLS if several and not alone else None


def run(
    prepared: Prepared,
    given: Backend | DoorBackend | None,
    on_progress: OnProgress | None = None,
    *,
    work: Schedule | None = None,
    base_answers: BaseAnswers | None = None,
) -> SuiteResult:
    """Run a prepared suite on a backend; None will do where no probe needs a model.

    `base_answers` of another run on the same loaded base are not asked again; what is asked of the base is added.

    A backend that knows the bare protocol alone will do as well: what it cannot give is skipped, and told.

    Numbers of the model that are not finite end in the diagnosis `broken`, with the view and the query named, and the
    tensor where the files show it.
    """
    started, clock, tally = datetime.now(UTC), time.perf_counter(), Tally()
    backend = None if given is None else contract(given)
    if backend is not None and (able := suited(prepared, backend)) is not prepared:
        prepared, work = able, None

    def told(view: View, tokens: int) -> None:
        if on_progress:
            with telling:  # Views that are answered side by side tell it from threads of their own.
                on_progress(view, tokens)

    telling = threading.Lock()
    broken, heard = "", Heard(prepared.example)
    with hashed(prepared) as files:
        try:
            found = measure(
                backend,
                prepared.probes,
                work or plan(prepared),
                told,
                rank_scale=prepared.design.rank_scale,
                nulls=[NullView(seed, prepared.design) for seed in prepared.seeds],
                on_answers=heard.take,
                base_answers=base_answers,
                decisions=decisions_of(first_look(prepared), alpha=prepared.spec.defaults.alpha),
                tally=tally,
            )
            probes = [*_judged(prepared, found.readings), *found.failed]
        except NonFiniteError as error:
            broken = "; ".join(filter(None, (str(error), not_finite(prepared.base, prepared.stack, error.view))))
            probes = _broken(prepared, broken)
        result = summarize(prepared, [*probes, *prepared.skipped], broken)
        records = tuple(future.result() for future in files)
    return replace(
        result,
        files=records,
        replies=heard.replies(),
        heat=heard.heat(),
        engine=_engine(backend),
        timings={"run_seconds": time.perf_counter() - clock, **tally.timings},
        started_at=started.isoformat(),
        remarks=(*result.remarks, *(backend.remarks if backend else ())),
    )


def _judged(prepared: Prepared, readings: Sequence[Reading]) -> list[ProbeResult]:
    costs = prepared.costs or costs_of(prepared.base.parameters)
    return judge(readings, alpha=prepared.spec.defaults.alpha, first=first_look(prepared), costs=costs)


def summarize(prepared: Prepared, probes: Sequence[ProbeResult], broken: str = "") -> SuiteResult:
    """Axes and diagnosis from the probes' results, in the suite's order; `broken` says why the model is, if it is."""
    texts = {item.key: item.asked for probe in probes for item in (*probe.items, *probe.controls) if item.asked}
    order = {entry.get("name", entry["kind"]): i for i, entry in enumerate(prepared.spec.suite)}
    ordered = tuple(sorted(probes, key=lambda probe: order[probe.name]))
    axes = axes_of(ordered)
    by_kind = {probe.kind: probe for probe in reversed(ordered)}
    diagnosis, headline = diagnose(axes, ordered, broken, len(prepared.stack.members))
    result = SuiteResult(
        diagnosis=diagnosis,
        headline=headline,
        axes=axes,
        probes=ordered,
        nulls=_nulls(prepared, ordered),
        alpha=prepared.spec.defaults.alpha,
        seed=prepared.spec.defaults.seed,
        remarks=(*prepared.spec.remarks, *prepared.left_out),
        texts=texts,
        format=prepared.texts.speech.name,
        settings=settings_of(prepared.spec),
        learned=learned(by_kind.get("section_internalization"), by_kind.get("content")),
        libraries={"sway-gguf": __version__, "python": platform.python_version()}
        | {name: version(name) for name in _LIBRARIES},
    )
    return replace(result, score=score_of(result))


def _broken(prepared: Prepared, reason: str) -> list[ProbeResult]:
    return [probe.result(Verdict.ERROR, reason) for probe in prepared.probes]


def _nulls(prepared: Prepared, probes: Sequence[ProbeResult]) -> NullsUsed:
    design, first = prepared.design, first_look(prepared)
    asked = max((len(probe.null.values) for probe in probes if probe.null), default=0)
    decided = [probe.null for probe in probes if probe.null and probe.null.holm_p is not None]
    look = 0 if first is None or not decided else 1 if all(null.early for null in decided) else 2
    panel = prepared.spec.defaults.panel or None
    return NullsUsed(
        count=asked,
        seeds=prepared.seeds[:asked],
        design=design.design,
        rank_scale=design.rank_scale,
        init_scale=design.init_scale,
        smallest_rank_p=smallest_rank_p(asked),
        assumption=ASSUMPTIONS[design.design].format(what="adapter" if len(prepared.stack.members) < 2 else "set"),
        energy=design.energy,
        planned=len(prepared.seeds),
        panel=min(FIRST_ITEMS, panel or FIRST_ITEMS) if look == 1 else panel,
        look=look,
    )


def _engine(backend: DoorBackend | None) -> dict[str, Any]:
    return {"backend": backend.name, **backend.layout()} if backend else {"backend": "none"}
