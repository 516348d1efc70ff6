"""Two adapters on one load of their base, and what changed from one to the other.

Knows the order of things. What is asked of the base is asked once. Nulls are not shared: a rotation turns an adapter's
own update, and even a Gaussian one has the adapter's modules and rank. Both runs draw theirs from the same seeds, so
they are the same only where both adapters' content is.
"""

from __future__ import annotations

from dataclasses import dataclass

from sway_gguf.choose.compare import compare
from sway_gguf.core.comparison import Comparison
from sway_gguf.core.errors import UserError
from sway_gguf.core.result import SuiteResult
from sway_gguf.engine.doors import DoorBackend, is_base
from sway_gguf.suite.measure import BaseAnswers, OnProgress
from sway_gguf.suite.prepare import Prepared
from sway_gguf.suite.run import plan, run
from sway_gguf.suite.visit import tokens_of


@dataclass(frozen=True, slots=True)
class Diff:
    """Two adapters, each against noise, and one against the other.

    Attributes:
        old, new: results of the first and the second adapter.
        comparison: paired, from the first to the second.
    """

    old: SuiteResult
    new: SuiteResult
    comparison: Comparison


def diff(first: Prepared, second: Prepared, backend: DoorBackend | None, on_progress: OnProgress | None = None) -> Diff:
    """Run both and compare them.

    Args:
        first, second: the same run of two adapters or sets (`Prepared.with_loras`).
        backend: with the first one's adapter loaded; None where no probe needs a model.
        on_progress: called over both runs as tokens are evaluated.

    Raises:
        UserError: the backend cannot put another adapter on a loaded base.
    """
    base: BaseAnswers = {}
    old = run(first, backend, on_progress, base_answers=base)
    if backend is not None and not backend.swap(second.stack):
        raise UserError(f"{backend.name} takes one adapter alone; run `check` on each and `compare` the results")
    new = run(second, backend, on_progress, base_answers=base)
    # What was asked is the same; an item that stands in one alone is a part that one adapter alone has.
    return Diff(old, new, compare(first.name, old, second.name, new, lenient=True))


def tokens(first: Prepared, second: Prepared, backend: DoorBackend) -> int:
    """Tokens that both runs evaluate; those of the base count once."""
    one, other = plan(first), plan(second)
    once = [visit for visit in other.every if not is_base(visit.view)]
    return sum(sum(tokens_of(visits, backend.count_tokens_of).values()) for visits in (one.every, once))
