"""Waits for an adapter, tests it and tells of it, until someone stops it. Knows the order; draws nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.digest import sha256_of
from sway_gguf.artifacts.training_folder import adapter_in
from sway_gguf.core.errors import EngineError, UserError
from sway_gguf.core.result import Diagnosis, SuiteResult
from sway_gguf.spec.model import Spec
from sway_gguf.suite.entries import check_entries
from sway_gguf.suite.prepare import Prepared, prepare
from sway_gguf.suite.texts import read_texts
from sway_gguf.watch.arrival import Arrival
from sway_gguf.watch.history import History
from sway_gguf.watch.hook import Hook

Sleep = Callable[[float], None]


@dataclass(frozen=True)
class Watch:
    """What is watched and what is done.

    Attributes:
        spec: the suite; its adapter is watched.
        history: where results are kept.
        test: runs a prepared suite.
        tell: says what came out: the result, its place, and the values of the run before by probe.
        note: says in a line what is waited for or went wrong.
        hook: run where an adapter fails.
        every: seconds between looks.
    """

    spec: Spec
    history: History
    test: Callable[[Prepared], SuiteResult]
    tell: Callable[[SuiteResult, Path, dict[str, float]], None]
    note: Callable[[str], None]
    hook: Hook | None = None
    every: float = 2.0

    def run(self, once: bool = False, sleep: Sleep = time.sleep) -> None:
        """Watch until interrupted; with `once`, until the first content was tested.

        Raises:
            UserError: the spec names no single adapter, or something that no adapter would mend, such as data that are
                not there; with `once`, the content cannot be tested.
        """
        adapter = self.spec.models.ft.adapter
        if adapter is None:
            raise UserError(
                "watch waits for one adapter at scale 1, without text of its own; name it in models.ft.adapter"
            )
        check_entries(self.spec)
        read_base(self.spec.models.base.base)
        read_texts(self.spec)
        arrival, said = Arrival(adapter), ""
        while True:
            digest = arrival.look()
            if digest:
                try:
                    if not self._tested(adapter, digest):
                        self.note(f"{adapter}: changed while it was tested; it is tested again")
                        arrival.again()
                    elif once:
                        return
                except (UserError, EngineError) as error:
                    if once:
                        raise
                    self.note(f"not tested: {error}")
            if arrival.waits_for not in ("", said):
                self.note(f"waiting: {arrival.waits_for}")
            said = arrival.waits_for or ("" if digest else said)
            sleep(self.every)

    def _tested(self, adapter: Path, digest: str) -> bool:
        """Test the adapter as it is; False where it did not stay so."""
        prepared = prepare(self.spec)
        result = self.test(prepared)
        if not prepared.adapter_hash == digest == sha256_of(adapter_in(adapter).folder):
            return False
        before = dict(self.history.last.get("values", {}))
        path = self.history.keep(digest, result)
        self.tell(result, path, before)
        if self.hook and fails(result):
            values = {"result": str(path), "diagnosis": str(result.diagnosis), "adapter": str(adapter)}
            if wrong := self.hook.run(values):
                self.note(wrong)
        return True


def fails(result: SuiteResult) -> bool:
    """Whether a diagnosis calls for someone: anything but healthy, and inconclusive, which is no finding."""
    return result.diagnosis not in (Diagnosis.HEALTHY, Diagnosis.INCONCLUSIVE)
