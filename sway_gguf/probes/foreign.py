"""Probes in the form of the `sway` project: a class with `kind`, `spec_cls` and `run(spec, ctx)`.

Such a probe asks its backend itself, so it is run once per view: on the real backend, and on one whose tuned view is
a null. Its `raw` number becomes a measurement like any other. Knows that form by shape; imports nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Axis, Measurement
from sway_gguf.core.queries import Query
from sway_gguf.core.rules import AboveNull, Direction, Rule
from sway_gguf.probes.base import Probe, Sources
from sway_gguf.spec.options import ProbeOptions

_AXES: Mapping[str, Axis] = {
    "adherence": "signal",
    "attribution": "direction",
    "calibration": "collateral",
    "ablation": "signal",
}
_SKIPS = ("skip", "error")


@dataclass(frozen=True)
class RunContext:
    """What the original hands to a probe's `run`, by the same names.

    Attributes:
        backend: with as_base and as_finetuned.
        seed, top_k: for the probe's own use.
        sections, doc_text: the training material, or None.
        null_stats, null_stats_by_rank, downstream_kinds: always empty: calibration is done outside.
    """

    backend: Any
    seed: int = 0
    top_k: int = 256
    sections: Any = None
    doc_text: str | None = None
    null_stats: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    null_stats_by_rank: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    downstream_kinds: tuple[str, ...] = ()

    @property
    def require_backend(self) -> Any:
        """`backend`, under the name by which later releases of the original ask for it."""
        return self.backend


class ForeignProbe(Probe[ProbeOptions]):
    """The value that the probe itself calls `raw`, on the real adapter and on each null.

    It is a bare number, without the items that would show on which side of zero it lies. Nulls alone cannot tell a
    direction, so such a probe stands beside that axis and does not answer it.
    """

    unit = ""
    passing = "the value beats every null, and its corrected tail p is below alpha"
    caveat = "what the probe measures is its author's to say."
    options_type = ProbeOptions
    quick = False
    foreign = True
    original: ClassVar[type[Any]]

    def __init__(self, options: ProbeOptions, sources: Sources, remarks: Sequence[str] = (), *, spec: Any) -> None:
        super().__init__(options, sources, remarks)
        self._spec = spec

    @property
    def rule(self) -> Rule:
        """Against the nulls, in the class's `direction`, which is higher where it says nothing."""
        direction: Direction = getattr(self.original, "direction", "higher")
        return AboveNull(direction, fails=self.axis != "direction")

    def missing(self) -> str:
        """Nothing that could be known before it runs."""
        return ""

    def ask(self) -> Sequence[Query]:
        """Nothing: it asks for itself."""
        return ()

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Not used: `run_on` measures.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("a foreign probe measures on a backend")

    def run_on(self, backend: Any) -> Measurement:
        """Its number on a backend, whatever the tuned view is."""
        text = "\n\n".join(section.text for section in self.sources.sections) or None
        context = RunContext(backend=backend, seed=self.sources.seed, doc_text=text)
        result = self.original().run(self._spec, context)
        message = str(getattr(result, "message", ""))
        verdict = str(getattr(result.verdict, "value", result.verdict)).lower()
        if result.raw is None or verdict in _SKIPS:
            return Measurement(0.0, undecided=f"the probe itself gave no number: {message or verdict}")
        evidence = {"message": message, "evidence": dict(getattr(result, "evidence", None) or {})}
        return Measurement(float(result.raw), interval=False, notes=(message,) if message else (), details=evidence)


def adapted(original: type[Any]) -> type[ForeignProbe]:
    """A class of ours around one of the original's form.

    Raises:
        TypeError: it lacks `kind`, `spec_cls` or `run`.
    """
    lacking = [name for name in ("kind", "spec_cls", "run") if not hasattr(original, name)]
    if lacking:
        raise TypeError(f"{original.__name__} has no {', '.join(lacking)}")
    return type(
        f"Foreign{original.__name__}",
        (ForeignProbe,),
        {
            "kind": original.kind,
            "axis": _AXES.get(getattr(original, "category", ""), "signal"),
            "question": (original.__doc__ or f"What does {original.kind} measure?").strip().splitlines()[0],
            "original": original,
            "__doc__": original.__doc__,
        },
    )
