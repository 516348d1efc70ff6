"""Words of users, models and files as Markdown text: nothing in them is markup, a link or a mention.

Knows CommonMark, GitHub's additions to it, and what GitHub makes of plain text afterwards; not what is written.
"""

from __future__ import annotations

import re

from sway_gguf.core.plain import one_line

END = "<!-- sway-gguf:end -->"
"""What a report of ours ends with: a file that somebody wrote on in is theirs."""
_BREAK = "\u200b"
"""Stands for a space of no width until the end; `one_line` has spelled out those of the text itself."""
# @mentions and mail addresses, #1 and GH-1, bare addresses, and :emoji: are found in finished text, where a backslash
# is gone: only something between their characters keeps them text.
_FOUND_LATER = (
    (re.compile(r"([@#])(?=\w)"), rf"\1{_BREAK}"),
    (re.compile(r"(GH-)(?=\d)", re.IGNORECASE), rf"\1{_BREAK}"),
    (re.compile(r":(?=//)"), f":{_BREAK}"),
    (re.compile(r"(www)(?=\.)", re.IGNORECASE), rf"\1{_BREAK}"),
    (re.compile(r"(?<!\d):(?=[\w+-]+:)"), f":{_BREAK}"),
)
_MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def words(text: str, most: int = 1000) -> str:
    """`text` on one line, cut to `most` characters, as text anywhere but at the start of a line of Markdown."""
    return _MARKUP.sub(r"\\\g<0>", _in_html(text, most)).replace(_BREAK, "&#8203;")


def words_in_html(text: str, most: int = 1000) -> str:
    """The same inside a line that begins with a tag, where Markdown's own marks and escapes are not read."""
    return _in_html(text, most).replace(_BREAK, "&#8203;")


def _in_html(text: str, most: int) -> str:
    short = clipped(one_line(text), most)
    for pattern, replacement in _FOUND_LATER:
        short = pattern.sub(replacement, short)
    return re.sub("[&<>]", lambda found: _HTML[found[0]], short)


def code(text: str, most: int = 300) -> str:
    """`text` in the letters of code."""
    return f"<code>{words(text, most)}</code>" if text else ""


def clipped(text: str, most: int) -> str:
    """`text`, or its beginning with an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def row(*cells: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def table_head(*headings: str, right: bool = False) -> str:
    """The two lines that a table begins with; `right`: all columns but the first stand at their right edge."""
    rules = ("---", *("---:" if right else "---" for _ in headings[1:]))
    return f"{row(*headings)}\n{row(*rules)}"
