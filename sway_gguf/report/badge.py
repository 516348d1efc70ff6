"""The diagnosis as a flat SVG badge that stands alone and reads aloud. Renders records and nothing else."""

from __future__ import annotations

from html import escape

from sway_gguf.core.gate import GateDecision
from sway_gguf.core.result import SuiteResult, Verdict
from sway_gguf.report.facts import calls_for

_LABEL = "sway-gguf"
# White on each of these has a contrast above 4.5:1.
_COLOURS = {
    Verdict.PASS.value: "#2e7d32",
    Verdict.FAIL.value: "#c62828",
    Verdict.INCONCLUSIVE.value: "#6e40c9",
}
_GREY = "#444"
# Advance widths of Verdana in 2048ths of its size; what is not here is as wide as an m.
_WIDTHS = {
    " ": 720, "-": 930, ".": 745, "a": 1230, "b": 1276, "c": 1067, "d": 1276, "e": 1220, "f": 720, "g": 1276, "h": 1296,
    "i": 562, "j": 705, "k": 1212, "l": 562, "m": 1992, "n": 1296, "o": 1243, "p": 1276, "q": 1276, "r": 874, "s": 1067,
    "t": 807, "u": 1296, "v": 1212, "w": 1676, "x": 1212, "y": 1212, "z": 1076,
}  # fmt: skip
_SIZE, _PADDING, _HEIGHT = 11, 6, 20


def badge(result: SuiteResult, decision: GateDecision | None = None) -> str:
    """Label and diagnosis, or what a gate decided; in words for who does not see it, with a colour for who does."""
    word = str(decision.outcome).lower() if decision else str(result.diagnosis)
    colour = _COLOURS[decision.outcome.value if decision else calls_for(result.diagnosis).value]
    left, right = (width_of(text) + 2 * _PADDING for text in (_LABEL, word))
    title = escape(f"{_LABEL}: {word}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{_HEIGHT}" role="img" '
        f'aria-label="{title}">\n'
        f"<title>{title}</title>\n<desc>sway-gguf badge</desc>\n"
        f'<clipPath id="r"><rect width="{left + right}" height="{_HEIGHT}" rx="3"/></clipPath>\n'
        f'<g clip-path="url(#r)"><rect width="{left}" height="{_HEIGHT}" fill="{_GREY}"/>'
        f'<rect x="{left}" width="{right}" height="{_HEIGHT}" fill="{colour}"/></g>\n'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="{_SIZE}" aria-hidden="true">'
        f"{_words(_LABEL, 0)}{_words(word, left)}</g>\n</svg>\n"
    )


def width_of(text: str) -> int:
    """Pixels of `text` at the badge's size, rounded up."""
    return -(-sum(_WIDTHS.get(one, _WIDTHS["m"]) for one in text) * _SIZE // 2048)


def _words(text: str, start: int) -> str:
    """Text that takes the width which was made for it, whatever font there is."""
    return f'<text x="{start + _PADDING}" y="14" textLength="{width_of(text)}">{escape(text)}</text>'
