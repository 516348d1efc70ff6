"""The errors a caller can act on. Knows nothing of where they are printed."""

from __future__ import annotations

from sway_gguf.core.plain import plain

OUT_OF_MEMORY = "memory ran out: close other programs, or take a smaller -c and --parallel 1"
_LONGEST = 4000
"""Characters of a message: what a file says of itself may fill gigabytes."""


class UserError(Exception):
    """Something the user can mend: one line that says what is wrong, where, and the way out. Exit code 2.

    The message may quote a file: line breaks, control characters and halves of surrogate pairs in it are written as
    escapes, and what is longer than a screen is cut.
    """

    def __init__(self, message: str) -> None:
        short = message if len(message) <= _LONGEST else message[:_LONGEST] + "…"
        super().__init__(plain(short.replace("\n", "\\n").replace("\t", "\\t")))


class UnknownNameError(UserError, KeyError):
    """A result has nothing of this name; the message names the nearest that it has."""

    __str__ = Exception.__str__
    """A KeyError shows its message in quotes; this one is a sentence."""


class NonFiniteError(Exception):
    """A NaN or an infinity came out of the model.

    It keeps its arguments as they were given, so that it survives the way out of a child process.

    Attributes:
        view: label of the view that produced it.
        query: the query, shortened for display.
    """

    def __init__(self, view: str, query: str) -> None:
        super().__init__(view, query)
        self.view = view
        self.query = query

    def __str__(self) -> str:
        return f"the {self.view} view gave a non-finite number for {self.query}"


class ViewError(RuntimeError):
    """A view was used outside its block, or a second one was opened while one was open."""


class EngineError(Exception):
    """llama.cpp refused or failed; the message carries what it logged."""
