"""`sway-gguf trace`: where the time of a run went."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from sway_gguf.cli.common import FILE
from sway_gguf.cli.output import drawing, say_json
from sway_gguf.core.plain import json_text


@click.command(epilog="Example:  sway-gguf trace run.trace.jsonl")
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def trace(path: Path, as_json: bool) -> None:
    """Sum up FILE, which `run --trace FILE` or `check --trace FILE` wrote: by view, by kind of query and by batch.

    What took longest comes first.
    """
    from sway_gguf.core.inputs import read_utf8
    from sway_gguf.core.trace import read_trace
    from sway_gguf.report.trace import print_trace

    found = read_trace(read_utf8(path, "a file that run --trace wrote"), str(path))
    if as_json:
        say_json(json_text(asdict(found), indent=1) + "\n")
        return
    with drawing() as console:
        print_trace(found, console)
