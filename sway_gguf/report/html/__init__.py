"""HTML pages that stand alone in one file: a result, a comparison, a matrix, a pick, a sweep. Knows looks."""

from sway_gguf.report.html.comparison import html_comparison
from sway_gguf.report.html.matrix import html_matrix
from sway_gguf.report.html.pick import html_pick
from sway_gguf.report.html.result import html_report
from sway_gguf.report.html.sweep import html_sweep

__all__ = ["html_comparison", "html_matrix", "html_pick", "html_report", "html_sweep"]
