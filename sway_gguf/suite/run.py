"""One run from a prepared spec to a result. Knows the order of things; leaves the things to their layers."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sway_gguf import __version__
from sway_gguf.artifacts.digest import sha256_of_all, size_of
from sway_gguf.artifacts.finite import not_finite
from sway_gguf.artifacts.stack import Member
from sway_gguf.artifacts.template_files import template_file
from sway_gguf.core.errors import NonFiniteError
from sway_gguf.core.file_records import AdapterRecord, BaseRecord, FileRecord
from sway_gguf.core.result import (
    NullsUsed,
    ProbeResult,
    SuiteResult,
    Verdict,
)
from sway_gguf.core.views import NullView, View
from sway_gguf.engine.bare import contract
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.protocol import Backend
from sway_gguf.material.files import data_files, shown
from sway_gguf.spec.model import FORMATS
from sway_gguf.spec.settings import settings_of
from sway_gguf.stats.calibration import smallest_rank_p
from sway_gguf.suite.able import suited
from sway_gguf.suite.decisions import decisions_of
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
    with _hashing(prepared) as files:
        try:
            work = work or plan(prepared)
            nulls = [NullView(seed, prepared.design) for seed in prepared.seeds]
            scale = prepared.design.rank_scale
            defaults, first = prepared.spec.defaults, first_look(prepared)
            decisions = decisions_of(first, alpha=defaults.alpha)
            found = measure(
                backend, prepared.probes, work, told, scale, nulls, heard.take, base_answers, decisions, tally
            )
            costs = prepared.costs or costs_of(prepared.base.parameters)
            judged = judge(found.readings, alpha=defaults.alpha, first=first, costs=costs)
            probes = [*judged, *found.failed]
        except NonFiniteError as error:
            broken = "; ".join(filter(None, (str(error), not_finite(prepared.base, prepared.stack, error.view))))
            probes = _broken(prepared, broken)
        result = summarize(prepared, [*probes, *prepared.skipped], broken)
        result = replace(result, files=tuple(future.result() for future in files))
        result = replace(result, replies=heard.replies(), heat=heard.heat())
    timings = {"run_seconds": time.perf_counter() - clock, **tally.timings}
    remarks = (*result.remarks, *(backend.remarks if backend else ()))
    return replace(result, engine=_engine(backend), timings=timings, started_at=started.isoformat(), remarks=remarks)


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


@contextmanager
def _hashing(prepared: Prepared) -> Iterator[list[Future[FileRecord]]]:
    """Hash the files while the model works: hashing a large base takes seconds and needs no GIL."""
    spec, base = prepared.spec, prepared.base
    about_base = BaseRecord(
        base.name,
        base.architecture,
        base.parameters,
        base.types,
        base.vocabulary,
        base.context_length,
        base.license,
    )
    texts = {"data": spec.data, "holdout": spec.holdout, "general": spec.general}
    template = None if spec.format in FORMATS else template_file(Path(spec.format))
    wanted = [
        partial(_record, "base", str(base.shards[0]), base.shards, base=about_base),
        *(partial(_adapter_record, *each) for each in zip(prepared.stack.members, prepared.hashes, strict=True)),
        *(partial(_record, role, shown(given), data_files(given)) for role, given in texts.items() if given),
        *([partial(_record, "format", str(template), (template,))] if template else []),
    ]
    pool = ThreadPoolExecutor(1)
    try:
        yield [pool.submit(record) for record in wanted]
    finally:
        # Results have been waited for by now, unless the run was stopped: then nobody waits.
        pool.shutdown(wait=False, cancel_futures=True)


def _adapter_record(member: Member, sha256: str) -> FileRecord:
    adapter = member.adapter
    about = AdapterRecord(len(adapter.pairs), tuple(adapter.ranks), adapter.alpha, member.scale)
    return _record("adapter", str(adapter.path), (adapter.path,), adapter=about, sha256=sha256)


def _record(
    role: str,
    name: str,
    paths: Sequence[Path],
    base: BaseRecord | None = None,
    adapter: AdapterRecord | None = None,
    sha256: str = "",
) -> FileRecord:
    """A file or several; hashed here unless that was done before."""
    return FileRecord(role, name, sha256 or sha256_of_all(paths), sum(map(size_of, paths)), base, adapter)
