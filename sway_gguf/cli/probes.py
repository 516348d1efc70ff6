"""`sway-gguf probes`: what can be measured."""

from __future__ import annotations

import click

from sway_gguf.cli.output import drawing, say_json
from sway_gguf.core.plain import json_text


@click.command(epilog="Example:  sway-gguf probes external_perplexity")
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def probes(kind: str | None, as_json: bool) -> None:
    """List the probe kinds; with KIND, show that one's formula and fields."""
    from sway_gguf.core.errors import UserError
    from sway_gguf.probes.registry import all_kinds, card
    from sway_gguf.report.probe_list import print_kind, print_kinds
    from sway_gguf.spec.options import nearest

    kinds = all_kinds()
    if kind is not None and kind not in kinds:
        raise UserError(f"unknown probe kind {kind!r}, {nearest(kind, kinds)}")
    chosen = [card(kinds[name]) for name in ([kind] if kind else kinds)]
    if as_json:
        say_json(json_text(chosen, indent=1) + "\n")
        return
    with drawing() as console:
        if kind:
            print_kind(chosen[0], console)
        else:
            print_kinds(chosen, console)
