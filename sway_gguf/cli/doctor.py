"""`sway-gguf doctor`: what this machine, this build and these files can do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from sway_gguf.cli.common import FILE, engine_options
from sway_gguf.cli.output import drawing, say_json
from sway_gguf.core.plain import json_text


@click.command(
    epilog="Example:  sway-gguf doctor base.gguf adapter.gguf",
)
@click.argument("base", required=False, type=FILE)
@click.argument("adapter", required=False, type=FILE)
@engine_options
@click.option("--peft", type=FILE, help="The folder that training left, to compare its chat template with the base's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(
    base: Path | None,
    adapter: Path | None,
    peft: Path | None,
    as_json: bool,
    **engine: Any,
) -> None:
    """Look over the build, and with BASE and ADAPTER the files: memory, tokenizer, template, fit, noise.

    With --peft FOLDER, or where ADAPTER is such a folder, the chat template that lies there is held against BASE's own.

    Exits with 1 where anything FAILs.
    """
    from dataclasses import asdict

    from sway_gguf.core.engine_settings import EngineSettings
    from sway_gguf.core.errors import UserError
    from sway_gguf.look.doctor import examine
    from sway_gguf.report.findings import print_finding

    if peft is not None and base is None:
        raise UserError("--peft compares with a base; name it: sway-gguf doctor BASE --peft FOLDER")
    if peft is not None and not peft.is_dir():
        raise UserError(f"--peft {peft}: no such folder; give the one that training left")
    settings = EngineSettings(**{name: value for name, value in engine.items() if value is not None})
    found = []
    for finding in examine(base, adapter, settings, peft):
        found.append(finding)
        if not as_json:
            with drawing() as console:
                print_finding(finding.name, finding.status, finding.text, console)
    if as_json:
        say_json(json_text([asdict(finding) for finding in found], indent=1, strict=False) + "\n")
    if any(finding.status == "FAIL" for finding in found):
        sys.exit(1)
