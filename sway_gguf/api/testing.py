"""What the pytest plugin asks: a suite that a marker names, run once and shared by all workers. Knows no pytest."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from sway_gguf.api.arguments import path_of
from sway_gguf.api.gating import Decision, asked_of, decided, gate
from sway_gguf.api.result import Result, load_result
from sway_gguf.api.running import run, spec_of
from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.locks import alone_in
from sway_gguf.artifacts.stack import read_stack
from sway_gguf.cli.saving import write_whole
from sway_gguf.core.errors import UserError
from sway_gguf.core.gate import GateLine, GateRules, Outcome
from sway_gguf.core.measurement import AXES, digest_of
from sway_gguf.core.result import Verdict
from sway_gguf.core.result_json import to_json
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.factory import open_backend
from sway_gguf.spec.model import load_spec
from sway_gguf.spec.null_adapter import with_null_settings
from sway_gguf.spec.options import nearest

_POLL = 0.2
"""Seconds between two looks at what another worker is running."""
_OPTIONS = tuple(name for name in signature(run).parameters if name not in ("spec", "progress"))
_ASKED = tuple(name for name in signature(gate).parameters if name != "given")
_FIELDS = ("spec", "result", *_ASKED)
_GATE = "gate "
Marked = tuple[Sequence[Any], Mapping[str, Any], Sequence[Path]]
"""Arguments of a marker, and the folders from which its paths are looked for."""


@dataclass(frozen=True, slots=True)
class Suite:
    """What a marker asks for.

    Attributes:
        path: of a spec, or of a result.
        is_result: which.
        rules: of the gate.
        baseline: that the run must not fall behind.
        options: in place of what the spec says.
    """

    path: Path
    is_result: bool
    rules: GateRules
    baseline: Result | None
    options: tuple[tuple[str, Any], ...]

    @property
    def digest(self) -> str:
        """Of what is run, which two suites that differ only in what they require have in common."""
        return digest_of((str(self.path.resolve()), repr(self.options)))

    def subjects(self) -> list[str]:
        """What gets an item each: six axes, the probes in the suite's order, the limits. No model is loaded.

        Raises:
            UserError: the file cannot be read.
        """
        if self.is_result:
            names = list(load_result(self.path))
        else:
            suite = with_null_settings(spec_of(self.path)).suite
            names = [str(entry.get("name", entry.get("kind"))) for entry in suite]
        return [*(f"axis {axis}" for axis in AXES), *(f"probe {name}" for name in names), *self._limits()]

    def _limits(self) -> list[str]:
        """What the gate asks beside the verdicts, as its lines begin."""
        rules = self.rules
        told = {"max-loss": rules.max_loss, "min-lift": rules.min_lift, "threshold": rules.threshold}
        found = [f"{_GATE}{name} {value:g}" for name, value in told.items() if value is not None]
        for name, limits in rules.probes.items():
            bounds = {"min": limits.min, "max": limits.max}
            found += [f"{_GATE}{name} {side} {bound:g}" for side, bound in bounds.items() if bound is not None]
        return found + ([f"{_GATE}baseline"] if self.baseline else [])


@dataclass(frozen=True, slots=True)
class Answered:
    """How an axis or a probe came out.

    Attributes:
        subject: "axis signal", "probe delta_kl" or "gate min-lift 0.2".
        verdict: of the run.
        line: of the gate.
        strict: whether what is inconclusive fails.
        result: all of the run.
    """

    subject: str
    verdict: Verdict
    line: GateLine
    strict: bool
    result: Result

    @property
    def is_error(self) -> bool:
        """Whether nothing could be measured."""
        return self.verdict == Verdict.ERROR

    @property
    def fails(self) -> bool:
        """Whether it stops a build."""
        stops = self.line.outcome == Outcome.FAIL or (self.strict and self.line.outcome == Outcome.INCONCLUSIVE)
        return stops and not self.line.informational

    @property
    def is_open(self) -> bool:
        """Whether it was not answered."""
        return self.line.outcome == Outcome.INCONCLUSIVE or self.verdict == Verdict.SKIP

    @property
    def warns(self) -> bool:
        """Whether it is to be looked at: a WARN, a pass with a reservation, or a miss that decides nothing."""
        return self.verdict == Verdict.WARN or self.line.warning or self.line.outcome == Outcome.FAIL

    def __str__(self) -> str:
        return f"{self.subject}: {self.verdict}: {self.line.reason}"


class Suites:
    """Runs every suite once, for all workers of a session that have `folder` in common."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._results: dict[str, Result] = {}
        self._decisions: dict[int, tuple[Suite, Decision]] = {}

    def answered(self, suite: Suite, subject: str) -> Answered:
        """How one axis or probe of a suite came out.

        Raises:
            UserError, EngineError: the suite could not be run.
        """
        decision = self._decision(suite)
        result, (kind, _, name) = decision.result, subject.partition(" ")
        if f"{kind} " == _GATE:
            line = _worst(subject, [each for each in decision.lines if f"{each.subject}, ".startswith(f"{name}, ")])
            return Answered(subject, Verdict(line.outcome), line, suite.rules.strict, result)
        verdict = result.axes[name].verdict if kind == "axis" else result[name].verdict
        line = decision.line(subject) or GateLine(subject, Outcome.PASS, "")
        return Answered(subject, verdict, line, suite.rules.strict, result)

    def _decision(self, suite: Suite) -> Decision:
        """One decision for all items of a test; a baseline's tests take a moment."""
        if id(suite) not in self._decisions:
            if suite.digest not in self._results:
                self._results[suite.digest] = self._result(suite)
            made = decided(self._results[suite.digest], suite.rules, suite.baseline)
            self._decisions[id(suite)] = suite, made
        return self._decisions[id(suite)][1]

    def _result(self, suite: Suite) -> Result:
        if suite.is_result:
            return load_result(suite.path)
        place = self._folder / f"sway-gguf-{suite.digest}"
        place.mkdir(exist_ok=True)
        saved = place / "result.json"
        while not saved.exists():
            with alone_in(place) as alone:
                if alone and not saved.exists():
                    result = run(suite.path, progress=False, **dict(suite.options))
                    write_whole(saved, to_json(result.record))
                    return result
            time.sleep(_POLL)
        return load_result(saved)


def _worst(subject: str, lines: Sequence[GateLine]) -> GateLine:
    """One line for all that a limit was held against: the gate has the worst first, and says them all."""
    if not lines:
        return GateLine(subject, Outcome.PASS, "no probe that both runs measured has a better way")
    reason, warning = "; ".join(line.reason for line in lines), any(line.warning for line in lines)
    return GateLine(subject, lines[0].outcome, reason, lines[0].informational, warning)


def asked_by(args: Sequence[Any], options: Mapping[str, Any], folders: Sequence[Path]) -> Suite:
    """The suite that a marker's arguments name.

    Args:
        args: a spec's path, or none.
        options: spec, result, what `gate` takes, and what `run` takes.
        folders: that a path is looked for in, in this order.

    Raises:
        UserError: an argument is unknown or wrong.
    """
    given = dict(options)
    if args:
        given = {"spec": args[0], **given}
    for name in given:
        if name not in (*_FIELDS, *_OPTIONS):
            raise UserError(f"marker sway_gguf: unknown argument {name!r}, {nearest(name, (*_FIELDS, *_OPTIONS))}")
    spec, result = given.pop("spec", None), given.pop("result", None)
    if len(args) > 1 or (spec is None) == (result is None):
        raise UserError("marker sway_gguf: give a spec or a result, such as sway_gguf(spec='sway.yaml')")
    path = path_of(spec if result is None else result, "marker sway_gguf")
    found = next((folder / path for folder in folders if (folder / path).exists()), folders[0] / path)
    asked = {name: given.pop(name) for name in _ASKED if name in given}
    before = asked.get("baseline")
    if before is not None and not isinstance(before, Result):
        asked["baseline"] = next((folder / before for folder in folders if (folder / before).exists()), before)
    rules, baseline = asked_of(None if result is not None else spec_of(found), **asked)
    return Suite(found, result is not None, rules, baseline, tuple(sorted(given.items())))


def opened(folder: Path, base: str, adapter: str, marked: Iterable[Marked]) -> DoorBackend:
    """The model of two ini options, or else of the one spec that markers name.

    Args:
        folder: from which the options' paths count.
        base, adapter: the options; "" where they are not set.
        marked: the session's markers.

    Raises:
        UserError: neither tells which model, or a file is wrong.
        EngineError: llama.cpp failed.
    """
    if base:
        return open_backend(folder / base, folder / adapter if adapter else None)
    suites = [asked_by(*each) for each in marked]
    paths = sorted({suite.path for suite in suites if not suite.is_result})
    if len(paths) != 1:
        raise UserError(
            f"sway_backend: {len(paths)} specs are marked, and one would say which model; set the ini options "
            "sway_gguf_base and sway_gguf_adapter"
        )
    spec = load_spec(paths[0])
    model = read_base(spec.models.base.base)
    return open_backend(model, read_stack(spec.models.ft.loras, model), spec.engine)
