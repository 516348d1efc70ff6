"""What can be asked of a view. Knows nothing of tokens, models or who asks."""

from __future__ import annotations

from dataclasses import dataclass

_SHOWN = 48


def shorten(text: str, width: int = _SHOWN) -> str:
    """`text` on one line, quoted, cut to about `width` characters."""
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= width else flat[: width - 1] + "…")


@dataclass(frozen=True, slots=True)
class NextToken:
    """The distribution of the token after `prompt`, over the whole vocabulary."""

    prompt: str

    def __str__(self) -> str:
        return f"the next token after {shorten(self.prompt)}"


@dataclass(frozen=True, slots=True)
class Rolling:
    """The log-probability of every token of `text` given those before it."""

    text: str

    def __str__(self) -> str:
        return f"the text {shorten(self.text)}"


@dataclass(frozen=True, slots=True)
class Completion:
    """The log-probability of `completion` after `prompt`."""

    prompt: str
    completion: str

    def __str__(self) -> str:
        return f"the completion {shorten(self.completion)} of {shorten(self.prompt)}"


Query = NextToken | Rolling | Completion
