"""`sway-gguf compare`: what changed between runs of one suite."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sway_gguf.cli.common import FILE, force_option
from sway_gguf.cli.output import say
from sway_gguf.cli.outputs import Outputs, deliver_in, output_options
from sway_gguf.core.errors import UserError

if TYPE_CHECKING:
    from sway_gguf.core.comparison import Comparison


@click.command(
    epilog="Example:  sway-gguf compare before.json after.json",
)
@click.argument("results", metavar="RESULT.JSON...", type=FILE, nargs=-1)
@click.option("--baseline", metavar="NAME", help="Compare with this baseline, or result, instead of the first file.")
@click.option("--baselines", "listed", is_flag=True, help="List the baselines that are kept in this folder.")
@click.option("--lenient", is_flag=True, help="Compare the items that are in both, and count the others.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 where something regressed.")
@output_options("json", "html", "md")
@force_option
def compare(
    results: tuple[Path, ...],
    baseline: str | None,
    listed: bool,
    lenient: bool,
    exit_code: bool,
    outputs: Outputs,
    force: bool,
) -> None:
    """Compare results that --json wrote, each with the first one or with the baseline.

    Items are paired by what was asked. A probe changed where the paired test says so after correction over all probes,
    by more than rounding makes. A regression is a probe that got worse so, or an axis that fails and did not before.
    """
    from functools import partial

    from sway_gguf.choose.compare import compare as compared
    from sway_gguf.cli.baselines import baselines, read_baseline
    from sway_gguf.core.result_json import read_result
    from sway_gguf.report.changes import markdown_changes, print_changes
    from sway_gguf.report.html import html_comparison

    if listed:
        say("\n".join(baselines()))
        return
    wanted = 1 if baseline else 2
    if len(results) < wanted:
        raise UserError("give two results or more, or one and --baseline NAME")
    if "html" in outputs.paths and len(results) > wanted:
        raise UserError(f"--html shows one comparison, and {len(results)} files were given; give {wanted} to it")
    files = outputs.checked(results, force=force)
    named = [(str(path), read_result(path)) for path in results]
    first = (baseline, read_baseline(baseline)) if baseline else named.pop(0)
    found = [compared(*first, *each, lenient=lenient) for each in named]
    drawn = {
        "json": partial(json_of, found),
        "html": partial(html_comparison, found[0]),
        "md": partial(markdown_changes, found),
    }
    deliver_in(files, drawn, partial(print_changes, found))
    if exit_code and any(each.regressed for each in found):
        sys.exit(1)


def json_of(found: Sequence[Comparison], **more: object) -> str:
    """Comparisons as JSON, and `more` beside them."""
    from dataclasses import asdict

    from sway_gguf.core.plain import json_text

    regressed = any(each.regressed for each in found)
    return json_text({"regressed": regressed, "comparisons": [asdict(each) for each in found], **more}, indent=1) + "\n"
