"""`sway-gguf pick`: which of many checkpoints, adapters and scales ships?"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE, FILES, SECONDS, engine_options, force_option, format_options, overridden
from sway_gguf.cli.finite import Finite
from sway_gguf.cli.inputs import inputs_of, text_inputs
from sway_gguf.cli.loras import Owned, adapters_of, lora_options
from sway_gguf.cli.output import drawing
from sway_gguf.cli.outputs import Outputs, deliver_in, output_options
from sway_gguf.cli.storing import StoreWish, store_options
from sway_gguf.core.errors import UserError
from sway_gguf.core.plain import json_text

if TYPE_CHECKING:
    from sway_gguf.core.loras import Loras
    from sway_gguf.core.pick import Pick
    from sway_gguf.spec.model import Spec
    from sway_gguf.spec.models import AdapterSpec


@click.command(
    epilog="Example:  sway-gguf pick base.gguf a.gguf b.gguf --data train.md --general notes.txt --scales 0.5,1",
)
@click.argument("base", type=FILE)
@click.argument("adapters", metavar="ADAPTER…", type=FILE, nargs=-1)
@lora_options
@click.option(
    "--data-of",
    type=(FILE, FILE),
    multiple=True,
    metavar="ADAPTER FILE",
    help="What one of --lora was trained on: tells what the chosen one takes from it.",
)
@click.option(
    "--data", **FILES, help="What the adapters were trained on: .jsonl, .json, .csv, .parquet, .md, .txt and more."
)
@click.option("--holdout", **FILES, help="Text like it that was kept out of training: what the choice is made by.")
@click.option("--general", **FILES, help="Unrelated text that must not suffer (default: packaged prose).")
@click.option(
    "--scales", metavar="FROM..TO", default="1", help="Scales to try of each adapter, as in 0.25..1.25 or 0.5,0.8,1."
)
@click.option(
    "--tolerance",
    type=Finite(max=0),
    default=-0.15,
    show_default=True,
    help="Accepted change of unrelated text, nats per token.",
)
@click.option(
    "--early-stop",
    is_flag=True,
    help="Follow one trainer's folder while it trains: end, with the pick, when going on no longer pays.",
)
@click.option(
    "--patience",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="With --early-stop: checkpoints in a row that bring nothing.",
)
@click.option("--every", type=SECONDS, default="5s", show_default=True, help="With --early-stop: how often to look.")
@click.option("--exit-code", is_flag=True, help="Exit 1 where no candidate ships (default: 0 for any pick).")
@click.option("--dry-run", is_flag=True, help="Check everything and show what it will cost; load no weights.")
@format_options
@output_options("json", "html", "md")
@force_option
@click.option("--seed", type=click.IntRange(0), help="Seed of everything random (default 0).")
@click.option("--nulls", type=click.IntRange(0, 999), help="Null adapters for the chosen one (default 19).")
@store_options
@engine_options
def pick(
    base: Path,
    adapters: tuple[Path, ...],
    loras: Loras,
    data_of: Owned,
    data: tuple[Path, ...],
    holdout: tuple[Path, ...],
    general: tuple[Path, ...],
    scales: str,
    tolerance: float,
    early_stop: bool,
    patience: int,
    every: float,
    exit_code: bool,
    dry_run: bool,
    outputs: Outputs,
    force: bool,
    store: StoreWish,
    **overrides: Any,
) -> None:
    """Measure every ADAPTER on the base model BASE, and say which one ships.

    An ADAPTER is a LoRA GGUF, a PEFT folder, or a folder of them, such as a trainer writes. The one that ships
    has the largest held-out lift whose collateral stays within the tolerance; of those that are equal within noise the
    earliest. It is chosen on one half of the held-out items, reported on the other, and held against random adapters.
    What --lora and --lora-scaled name is loaded in any case: every candidate is measured on top of it. With --data-of
    it is told what becomes of what these taught.
    """
    from sway_gguf.choose.contenders import adapters_in
    from sway_gguf.choose.pick import pick_spec
    from sway_gguf.cli.picking import followed, picked, plan_of, ready
    from sway_gguf.core.scales import scales_of
    from sway_gguf.report.html import html_pick
    from sway_gguf.report.pick import markdown_pick, print_pick, print_pick_plan

    if not adapters:
        raise _no_candidate(loras)
    wanted = scales_of(scales)
    beside = _beside(loras, data_of)
    if data_of and overrides.get("nulls") == 0:
        raise UserError("--data-of: with --nulls 0 nothing is told of what the others taught; leave out one of both")

    def spec_of(adapter: Path) -> Spec:
        return overridden(pick_spec(base, adapter, data=data, holdout=holdout, general=general), **overrides)

    loaded = [*adapters, *(each.path for each in beside), *text_inputs(*(each.data for each in beside))]
    written = outputs.checked([*loaded, *inputs_of(spec_of(adapters[0]))], force=force)

    with store.opened() as answers:
        if early_stop:
            _check_followed(adapters, holdout, dry_run)
            found = followed(
                adapters[0],
                spec_of,
                answers,
                scales=wanted,
                tolerance=tolerance,
                patience=patience,
                every=every,
                beside=beside,
            )
        else:
            picking, contenders = ready(spec_of, adapters_in(adapters), wanted, tolerance, beside)
            if dry_run:
                with drawing() as console:
                    print_pick_plan(plan_of(picking, contenders), console)
                return
            found = picked(picking, contenders, answers)
    drawn = {"json": partial(_record, found), "html": partial(html_pick, found), "md": partial(markdown_pick, found)}
    deliver_in(written, drawn, partial(print_pick, found))
    if exit_code and not found.winner:
        raise click.exceptions.Exit(1)


def _beside(loras: Loras, data_of: Owned) -> list[AdapterSpec]:
    """What is loaded beside every candidate, with its own text.

    Raises:
        UserError: text is given for an adapter that is not among them.
    """
    if not loras and data_of:
        raise UserError(
            f"--data-of {data_of[0][0]}: it speaks of what is loaded beside every candidate; name that with --lora"
        )
    return adapters_of(None, loras, data_of) if loras else []


def _no_candidate(loras: Loras) -> UserError:
    """What is missing."""
    return UserError(
        "no candidate: --lora names what is loaded beside every one; name the adapters to choose among behind BASE"
        if loras
        else "no candidate; name adapters, or the folder of a trainer's checkpoints, behind BASE"
    )


def _check_followed(adapters: tuple[Path, ...], holdout: tuple[Path, ...], dry_run: bool) -> None:
    """See that there is one folder to follow, and something to tell by when to stop.

    Raises:
        UserError: not so.
    """
    if len(adapters) != 1 or adapters[0].is_file():
        raise UserError(f"--early-stop: {len(adapters)} adapters; give the one folder that the trainer writes to")
    if dry_run:
        raise UserError("--early-stop: what will come is not known, so there is no plan; leave --dry-run out")
    if not holdout:
        raise UserError(
            "--early-stop needs --holdout FILE: the lift on what is trained on grows whether or not anything carries "
            "over"
        )


def _record(found: Pick) -> str:
    from dataclasses import asdict

    return json_text({**asdict(found), "pareto": found.pareto}, indent=1) + "\n"
