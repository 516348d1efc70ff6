"""What a command asks of a run beside what its spec says: the options of check, run and gate. Runs nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import click

from sway_gguf.cli.common import FILE, SECONDS, Command, force_option
from sway_gguf.cli.outputs import RESULT_FORMATS, Outputs, output_options
from sway_gguf.cli.storing import StoreWish, store_options


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a command asks of a run beside what its spec says.

    Attributes:
        outputs: where to write the result.
        save_baseline: name under which to keep it.
        dry_run: show the plan alone.
        budget: seconds.
        force: replace a file that is no result.
        no_texts: leave out of every output what was asked and replied.
        trace: where to write how long each batch took.
        quants: what quantizing cost the base, as `quants --json` wrote it.
        store: where answers are kept.
    """

    outputs: Outputs
    save_baseline: str | None = None
    dry_run: bool = False
    budget: float | None = None
    force: bool = False
    no_texts: bool = False
    trace: Path | None = None
    quants: Path | None = None
    store: StoreWish = field(default_factory=StoreWish)

    @property
    def options(self) -> list[str]:
        """The options that were given."""
        given = {
            "--save-baseline": self.save_baseline,
            "--dry-run": self.dry_run,
            "--budget": self.budget,
            "--force": self.force,
            "--no-texts": self.no_texts,
            "--trace": self.trace,
            "--quants": self.quants,
            **self.store.options,
        }
        return self.outputs.options + [option for option, value in given.items() if value not in (None, False)]

    @property
    def silent(self) -> bool:
        """Whether nothing may be printed behind the report."""
        return self.outputs.to_stdout or self.dry_run


def run_options(command: Command) -> Command:
    """Outputs, store, --save-baseline, --force, --dry-run, --budget, --no-texts, --trace, and a spec's defaults.

    The command takes seed, nulls, looks, nulls_for_everything and show as they are, and the others as one argument,
    `wishes`.
    """

    @wraps(command)
    def gathered(*given: Any, **named: Any) -> Any:
        wishes = Wishes(**{field: named.pop(field) for field in Wishes.__dataclass_fields__})
        return command(*given, wishes=wishes, **named)

    decorated: Command = gathered
    for option in (
        click.option("--dry-run", is_flag=True, help="Check everything and show the plan; load no weights."),
        click.option(
            "--budget", type=SECONDS, help="Keep to about so long (60s, 5m): items and nulls are cut, and told."
        ),
        click.option("--nulls", type=click.IntRange(0, 999), help="Null adapters to compare with (default 19)."),
        click.option(
            "--looks",
            type=click.IntRange(1, 2),
            help="2 (the default) ends a clear case after the first few nulls; 1 asks all of them.",
        ),
        click.option(
            "--nulls-for-everything",
            is_flag=True,
            default=None,
            help="Ask nulls also of what they do not decide, such as damage that passed.",
        ),
        click.option("--seed", type=click.IntRange(0), help="Seed of everything random (default 0)."),
        force_option,
        click.option("--trace", type=FILE, metavar="FILE", help="Write how long each batch took, as it goes."),
        click.option("--quants", type=FILE, metavar="FILE", help="JSON of `quants`: tell damage by what it cost BASE."),
        click.option(
            "--no-texts",
            is_flag=True,
            help="Leave out of every output what was asked and what was replied; items keep their numbers.",
        ),
        click.option(
            "--show",
            type=click.IntRange(0, 32),
            metavar="N",
            help="Show so many short replies of base and tuned model, and where in as many texts the probability "
            "moved (default 0, with --html 3).",
        ),
        click.option(
            "--save-baseline", metavar="NAME", help="Keep the result in .sway/baselines here, for compare --baseline."
        ),
        output_options(*RESULT_FORMATS),
        store_options,
    ):
        decorated = option(decorated)
    return decorated


def exit_code_option(command: Command) -> Command:
    """--exit-code."""
    return click.option(
        "--exit-code",
        is_flag=True,
        help="Exit 1 where the verdict is a FAIL, as `gate` does (default: 0 for any verdict).",
    )(command)
