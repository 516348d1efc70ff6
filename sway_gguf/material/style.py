"""A text's style as a short vector of numbers. Knows words and sentences; not whose text it is."""

from __future__ import annotations

import re
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_PUNCTUATION = re.compile(r"[^\w\s]")

FEATURES = (
    "words per sentence",
    "spread of words per sentence",
    "letters per word",
    "different words",
    "punctuation per word",
    "capitals per word",
    "line breaks per word",
    "automated readability index",
    "Coleman–Liau index",
)
_CORE = 7


def fingerprint(text: str, extended: bool = True) -> NDArray[np.float64]:
    """The features of `FEATURES`: the first seven always, the others where textstat is installed and wanted.

    Of textstat's measures these two need no dictionary, which it would download when first asked.

    A text without words gives zeros.
    """
    words = _WORD.findall(text)
    length = len(FEATURES) if extended and find_spec("textstat") else _CORE
    if not words:
        return np.zeros(length)
    per_sentence = [len(found) for part in _SENTENCE.split(text) if (found := _WORD.findall(part))]
    core = [
        float(np.mean(per_sentence)),
        float(np.std(per_sentence)),
        float(np.mean([len(word) for word in words])),
        len({word.lower() for word in words}) / len(words),
        len(_PUNCTUATION.findall(text)) / len(words),
        sum(word[0].isupper() for word in words) / len(words),
        text.count("\n") / len(words),
    ]
    return np.array(core if length == _CORE else [*core, *_readability(text)])


def _readability(text: str) -> list[float]:
    import textstat  # type: ignore[import-not-found,unused-ignore]

    return [textstat.automated_readability_index(text), textstat.coleman_liau_index(text)]
