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
    """The distribution of the token after `prompt`, over the whole vocabulary.

    Attributes:
        prompt: what stands before the token.
        filler: text that stands before the prompt, cut or repeated to `filler_tokens` tokens exactly.
        filler_tokens: 0 for no filler.
        lead: what stands before the filler, such as the opening of a dialogue.
    """

    prompt: str
    filler: str = ""
    filler_tokens: int = 0
    lead: str = ""

    def __str__(self) -> str:
        after = f" behind {self.filler_tokens} tokens of filler" if self.filler_tokens else ""
        return f"the next token after {shorten(self.prompt)}{after}"


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


@dataclass(frozen=True, slots=True)
class Spans:
    """The log-probability of stretches of `text`, each given all that stands before it.

    Attributes:
        text: the whole.
        spans: (start, end) of each stretch in characters, in order, apart from one another.
    """

    text: str
    spans: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return f"{len(self.spans)} stretches of {shorten(self.text)}"


@dataclass(frozen=True, slots=True)
class Compare:
    """How this view's distribution differs from the base's along `text`, over the whole vocabulary.

    Attributes:
        text: the whole.
        spans: (start, end) of the stretches that count, in characters; every position where there are none.
    """

    text: str
    spans: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        return f"the distributions along {shorten(self.text)}"


@dataclass(frozen=True, slots=True)
class Generate:
    """A continuation of `prompt`; greedy at temperature 0."""

    prompt: str
    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __str__(self) -> str:
        return f"a reply to {shorten(self.prompt)}"


@dataclass(frozen=True, slots=True)
class Embed:
    """A vector for `text`. The same in every view: no adapter takes part."""

    text: str

    def __str__(self) -> str:
        return f"the embedding of {shorten(self.text)}"


@dataclass(frozen=True, slots=True)
class Split:
    """The tokens of `text` behind those of `prompt`. The same in every view."""

    prompt: str
    text: str

    def __str__(self) -> str:
        return f"the tokens of {shorten(self.text)}"


Query = NextToken | Rolling | Completion | Spans | Compare | Generate | Embed | Split
