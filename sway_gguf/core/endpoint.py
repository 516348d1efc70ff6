"""Where a server that answers in a model's place is reached. Holds values only."""

from __future__ import annotations

from typing import NamedTuple


class Endpoint(NamedTuple):
    """A server's address, and how long it may take.

    Attributes:
        url: as the user gave it.
        timeout: seconds for one answer.
    """

    url: str
    timeout: float = 300.0
