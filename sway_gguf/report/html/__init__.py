"""HTML pages that stand alone in one file: a result, a survival matrix. Knows records and how they look."""

from sway_gguf.report.html.matrix import html_matrix
from sway_gguf.report.html.result import html_report

__all__ = ["html_matrix", "html_report"]
