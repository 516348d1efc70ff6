"""A trainer's folder while it trains: tells of each checkpoint once, when it is whole and at rest.

Knows files; not what is measured of a checkpoint, nor when to stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sway_gguf.choose.contenders import Found, checkpoints
from sway_gguf.core.errors import UserError
from sway_gguf.watch.arrival import Arrival

Sleep = Callable[[float], None]


class Training:
    """Looks at one folder.

    Args:
        folder: that a trainer writes `checkpoint-*` folders to; it need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._arrivals: dict[Path, Arrival] = {}
        self._told: set[Path] = set()
        self.ended = False
        """Whether what a trainer saves at its end was told of."""
        self.waits_for = ""
        """Why nothing is new at the last look, in a line; "" where there is no reason."""

    def look(self) -> list[Found]:
        """Checkpoints that are whole and were not told of before, in order of steps, the trainer's last word behind."""
        try:
            there = checkpoints(self._folder)
        except UserError as error:
            self.waits_for = str(error)
            return []
        found, self.waits_for = list[Found](), ""
        for each in there:
            arrival = self._arrivals.setdefault(each.path, Arrival(each.path))
            if each.path in self._told:
                continue
            if not arrival.look():
                self.waits_for = arrival.waits_for
                continue
            self._told.add(each.path)
            self.ended = self.ended or each.path == self._folder
            found.append(each)
        return found

    def follow(self, every: float, note: Callable[[str], None], sleep: Sleep = time.sleep) -> Iterator[list[Found]]:
        """What is new, look by look, until the training ended or the caller takes no more.

        Args:
            every: seconds between looks.
            note: told in a line what is waited for, once for each reason.
            sleep: waits.
        """
        said = ""
        while True:
            new = self.look()
            if new:
                said = ""
                yield new
                if self.ended:
                    return
            elif self.waits_for not in ("", said):
                said = self.waits_for
                note(f"waiting: {said}")
            sleep(every)
