"""Calls a function for each of many, several at a time, and hands the results over in order.

For waiting, not for computing: the threads are daemons, so that whoever stops the program waits for none of them.
Knows nothing of what is called.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_TICK = 0.1
"""Seconds after which one who waits looks whether it was stopped; on some systems nothing interrupts a longer wait."""


def side_by_side(
    call: Callable[[Item], Result], items: Sequence[Item], workers: int, weights: Sequence[int], room: int
) -> Iterator[Result]:
    """`call` of each item, in their order; in the caller's thread where one at a time is wanted.

    Where the caller takes no more, nothing further is begun.

    Args:
        call: what is called.
        items: with what.
        workers: calls under way at once, at most.
        weights: of each item.
        room: what the items under way may weigh together; a heavier one goes alone.

    Raises:
        Exception: whatever `call` raised first; the others are dropped.
    """
    if workers < 2 or len(items) < 2:
        yield from map(call, items)
        return
    crew = _Crew(call, items, weights, room)
    for number in range(min(workers, len(items))):
        threading.Thread(target=crew.work, name=f"request {number}", daemon=True).start()
    found: dict[int, Result] = {}
    try:
        for place in range(len(items)):
            while place not in found:
                at, result = crew.next_one()
                found[at] = result
            yield found.pop(place)
    finally:
        crew.stop()


class _Crew(Generic[Item, Result]):
    """What several threads take from one row, and what comes of it."""

    def __init__(
        self, call: Callable[[Item], Result], items: Sequence[Item], weights: Sequence[int], room: int
    ) -> None:
        self._call, self._items, self._weights, self._room = call, items, weights, room
        self._done: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._next = self._under_way = 0
        self._stopped = False

    def work(self) -> None:
        """Take one after the other, until none is left."""
        while (place := self._taken()) is not None:
            try:
                self._done.put((place, self._call(self._items[place]), None))
            except BaseException as error:
                self._done.put((place, None, error))
            with self._changed:
                self._under_way -= self._weights[place]
                self._changed.notify_all()

    def next_one(self) -> tuple[int, Result]:
        """The next that is done, with its place.

        Raises:
            Exception: what it ran into.
        """
        while True:
            try:
                place, result, error = self._done.get(timeout=_TICK)
            except queue.Empty:
                continue
            if error is not None:
                raise error
            return place, result

    def stop(self) -> None:
        """Begin nothing further."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _taken(self) -> int | None:
        with self._changed:
            while not self._stopped and self._next < len(self._items):
                weight = self._weights[self._next]
                if not self._under_way or self._under_way + weight <= self._room:
                    self._next += 1
                    self._under_way += weight
                    return self._next - 1
                self._changed.wait()
            return None
