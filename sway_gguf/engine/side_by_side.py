"""Calls a function for each of many, several at a time, and hands the results over in order.

For waiting, not for computing: the threads are daemons, so that whoever stops the program waits for none of them.
Knows nothing of what is called.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_TICK = 0.1
"""Seconds after which one who waits looks whether it was stopped; on some systems nothing interrupts a longer wait."""


def side_by_side(call: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """`call` of each item, in their order; in the caller's thread where one at a time is wanted.

    Where the caller takes no more, nothing further is begun.

    Raises:
        Exception: whatever `call` raised first; the others are dropped.
    """
    if workers < 2 or len(items) < 2:
        yield from map(call, items)
        return
    places, stop = iter(range(len(items))), threading.Event()
    taking = threading.Lock()
    done: queue.SimpleQueue[tuple[int, Result | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        while not stop.is_set():
            with taking:
                place = next(places, None)
            if place is None:
                return
            try:
                done.put((place, call(items[place]), None))
            except BaseException as error:
                done.put((place, None, error))

    for number in range(min(workers, len(items))):
        threading.Thread(target=work, name=f"request {number}", daemon=True).start()
    found: dict[int, Result] = {}
    try:
        for place in range(len(items)):
            while place not in found:
                try:
                    at, result, error = done.get(timeout=_TICK)
                except queue.Empty:
                    continue
                if error is not None:
                    raise error
                found[at] = result  # type: ignore[assignment]
            yield found.pop(place)
    finally:
        stop.set()
