"""Every candidate's answers on one loaded base: the base is asked once, each candidate the same once, side by side.

Knows backends, views and the order of things; nothing of what the answers mean.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.stack import Adapted
from sway_gguf.choose.contenders import Contender
from sway_gguf.choose.fixed import NOTHING, Fixed
from sway_gguf.collect import QueryGroup, collect
from sway_gguf.core.answers import Answers
from sway_gguf.core.errors import NonFiniteError, UserError
from sway_gguf.core.views import BASE, TUNED, ScaledView, View
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.suite.abreast import Abreast, Outcome

OnTold = Callable[[str, int], None]
"""Called with what is at work and the tokens evaluated since the last call."""


class Visits:
    """Asks base and candidates; the backend goes from one adapter to the next.

    Args:
        backend: with any adapter of the base loaded; no view of it may be open.
        base: its header.
        groups: what every view is asked.
        fixed: what is loaded beside every candidate.
        on_progress: called as tokens are evaluated, from several threads one at a time.
    """

    def __init__(
        self,
        backend: DoorBackend,
        base: BaseModel,
        groups: Sequence[QueryGroup],
        on_progress: OnTold | None = None,
        fixed: Fixed = NOTHING,
    ) -> None:
        self._backend = backend
        self._base = base
        self._groups = groups
        self._told = on_progress
        self._fixed = fixed
        self._telling = threading.Lock()
        self._carries: dict[DoorBackend, tuple[Path, LoraAdapter]] = {}
        self.tokens = 0

    def of_base(self) -> Answers:
        """The base's own answers."""
        return collect(self._backend, BASE, self._groups, lambda tokens: self._tell("base", tokens))

    def of_fixed(self) -> Answers | None:
        """Those of what is loaded beside every candidate, without any; None where there is nothing of the kind.

        Raises:
            UserError: as `of_each`, or its numbers are not finite.
        """
        alone = self._fixed.alone
        if alone is None:
            return None
        self._carry(self._backend, alone)
        try:
            return collect(self._backend, TUNED, self._groups, lambda tokens: self._tell(self._fixed.name, tokens))
        except NonFiniteError as error:
            raise UserError(
                f"{self._fixed.name} gives numbers that are not finite without any candidate: {error}"
            ) from None

    def of_each(self, contenders: Sequence[Contender]) -> Iterator[tuple[Contender, Outcome]]:
        """Each candidate with its answers, or with the error that tells of numbers which are not finite, in order.

        Raises:
            UserError: the backend takes one adapter alone, or a file can no longer be read.
        """
        with Abreast(self._backend) as abreast:
            yield from abreast.each(contenders, self._answers)

    def _answers(self, backend: DoorBackend, contender: Contender) -> Answers:
        view: View = ScaledView(contender.scale)
        carried = self._carries.get(backend)
        known = carried is not None and carried[0] == contender.path
        if not known or self._fixed.members:
            adapter = carried[1] if carried and known else read_adapter(contender.path, self._base)
            adapted, view = self._fixed.beside(adapter, contender.scale)
            self._carry(backend, adapted)
            self._carries[backend] = contender.path, adapter
        return collect(backend, view, self._groups, lambda tokens: self._tell(contender.name, tokens))

    def _carry(self, backend: DoorBackend, adapted: Adapted) -> None:
        if not backend.swap(adapted):
            raise UserError(f"{backend.name} takes one adapter alone; run `check` on each")

    def _tell(self, what: str, tokens: int) -> None:
        with self._telling:
            self.tokens += tokens
            if self._told:
                self._told(what, tokens)
