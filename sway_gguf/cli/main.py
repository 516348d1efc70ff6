"""The `sway-gguf` command: gathers the subcommands and is the one place where errors become exit codes.

Command files import what is heavy inside their functions, so that --help answers at once.
"""

from __future__ import annotations

import os
import sys

import click

from sway_gguf import __version__
from sway_gguf.cli.check import check
from sway_gguf.cli.convert import convert
from sway_gguf.cli.demo import demo
from sway_gguf.cli.doctor import doctor
from sway_gguf.cli.init import init
from sway_gguf.cli.inspect import inspect
from sway_gguf.cli.merge import merge
from sway_gguf.cli.mine import mine
from sway_gguf.cli.null import null
from sway_gguf.cli.probes import probes
from sway_gguf.cli.quants import quants
from sway_gguf.cli.run import run, schema
from sway_gguf.core.errors import EngineError, UserError

EXIT_USER, EXIT_INTERNAL, EXIT_INTERRUPTED = 2, 70, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="sway-gguf")
def cli() -> None:
    """Did your LoRA adapter change the model? A calibrated verdict on the GGUF files that ship.

    \b
    Try it:         sway-gguf demo
    Your own files: sway-gguf check base.gguf adapter.gguf --data train.md
    """


for command in (demo, check, run, init, mine, inspect, doctor, convert, merge, quants, null, probes, schema):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit: 0 done, 2 wrong input, 70 our own fault, 130 interrupted."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_USER)
    except (UserError, EngineError) as error:
        click.echo(f"sway-gguf: {error}", err=True)
        sys.exit(EXIT_USER)
    except (KeyboardInterrupt, click.Abort):
        click.echo("sway-gguf: stopped; nothing was written", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our pipe has gone: say nothing, and keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("SWAY_GGUF_DEBUG"):
            raise
        click.echo(
            f"sway-gguf: internal error: {type(error).__name__}: {error} (SWAY_GGUF_DEBUG=1 shows where)",
            err=True,
        )
        sys.exit(EXIT_INTERNAL)
