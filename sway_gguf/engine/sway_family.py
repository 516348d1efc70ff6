"""What of `dlm-sway` our backend needs to be one of its own: its errors and its instrumentation.

Both are looked up when they are needed; without that package nothing here has an effect. Knows no model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from sway_gguf.core.errors import EngineError, NonFiniteError, UserError

_TOLD = (UserError, NonFiniteError, EngineError)


@contextmanager
def as_theirs(door: str = "") -> Iterator[None]:
    """Turns our errors into members of dlm-sway's family as well, so that its probes and its CLI know them.

    Args:
        door: the method at work, for its ProbeError, which its probes drop an item by; "" for its SwayError.
    """
    try:
        yield
    except _TOLD as error:
        raise _adopted(error, door) from error


def instrumentation() -> Any | None:
    """dlm-sway's own cache, trace and counters, which its runner looks for; None without that package."""
    try:
        from dlm_sway.backends._instrumentation import BackendInstrumentation
    except ImportError:
        return None
    return BackendInstrumentation()


def _adopted(error: Exception, door: str) -> Exception:
    family = _family()
    if family is None or isinstance(error, family[0]):
        return error
    sway_error, probe_error = family
    kind = _both(type(error), probe_error if door else sway_error)
    adopted = kind.__new__(kind)
    adopted.__dict__.update(error.__dict__)
    if door:
        probe_error.__init__(adopted, door, str(error))
    else:
        sway_error.__init__(adopted, str(error))
    return adopted


def _both(ours: type[Exception], theirs: type[Exception]) -> type[Exception]:
    return type(ours.__name__, (ours, theirs), {"__doc__": ours.__doc__})


@cache
def _family() -> tuple[type[Exception], Any] | None:
    try:
        from dlm_sway.core.errors import ProbeError, SwayError
    except ImportError:
        return None
    return SwayError, ProbeError
