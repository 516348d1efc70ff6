"""`sway-gguf served`: does a running server serve the adapter that was tested?"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.common import FILE, FILES, SECONDS, engine_options, force_option, format_options, overridden
from sway_gguf.cli.inputs import inputs_of
from sway_gguf.cli.loras import adapters_of, lora_options, with_loras
from sway_gguf.cli.output import say
from sway_gguf.cli.outputs import Outputs, output_options
from sway_gguf.cli.progress import progress_bar
from sway_gguf.cli.saving import Output, deliver
from sway_gguf.cli.storing import StoreWish, store_options
from sway_gguf.core.errors import UserError

if TYPE_CHECKING:
    from sway_gguf.core.loras import Loras
    from sway_gguf.core.served import Served
    from sway_gguf.served.http import Server
    from sway_gguf.served.run import Look
    from sway_gguf.served.source import Source


@click.command(
    short_help="Does a running server serve this adapter?",
    epilog="Example:  sway-gguf served http://127.0.0.1:8080 --result result.json",
)
@click.argument("url")
@click.argument("files", metavar="[BASE ADAPTER | SWAY.YAML]", type=FILE, nargs=-1)
@lora_options
@click.option("--result", type=FILE, help="A result.json that tells which base, adapter, data and format.")
@click.option("--data", **FILES, help="What the adapter was trained on: its beginnings are asked.")
@click.option("--model", default="", help="The model's name at the server, where it has several.")
@click.option("--api-key", default="", envvar="SWAY_GGUF_API_KEY", show_envvar=True, help="Brought as a bearer token.")
@click.option("--requests", type=click.IntRange(16, 40), default=40, show_default=True, help="Sent at most.")
@click.option("--timeout", type=SECONDS, default="60s", show_default=True, help="For each request.")
@click.option("--watch", type=SECONDS, help="Look again after so long (1h), for ever, and tell what changed.")
@click.option("--strict", is_flag=True, help="Exit 3 where it cannot be told, in place of 0.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the prompts that are drawn.")
@format_options
@output_options("json")
@force_option
@store_options
@engine_options
def served(
    url: str,
    files: tuple[Path, ...],
    loras: Loras,
    result: Path | None,
    data: tuple[Path, ...],
    model: str,
    api_key: str,
    requests: int,
    timeout: float,
    watch: float | None,
    strict: bool,
    seed: int,
    outputs: Outputs,
    force: bool,
    store: StoreWish,
    **overrides: Any,
) -> None:
    """Ask the server at URL a few prompts, and tell whether it serves the adapter, the base alone, or something else.

    The server may be any that speaks the OpenAI form (llama-server, llama-cpp-python, vLLM, Ollama, LM Studio), or
    llama-server's own. It is asked as text and as chat. What it should answer is computed here, from the files of
    --result, of BASE and ADAPTER, or of SWAY.YAML; --lora and --lora-scaled name a set of adapters. Exit 0 tuned, 1
    not, 2 wrong input or no answer, 3 cannot tell with --strict.
    """
    from sway_gguf.served.asking import model_of
    from sway_gguf.served.expected import Expected
    from sway_gguf.served.http import Server
    from sway_gguf.served.run import Look
    from sway_gguf.suite.prepare import prepare

    server = Server(url, api_key, timeout)
    source = _source(files, loras, result, data)
    spec = overridden(source.spec, seed=seed, nulls=None, **overrides)
    written = outputs.checked([*files, *([result] if result else []), *inputs_of(spec)], force=force)
    prepared = prepare(spec)
    model_of(server, model)  # Whatever is wrong with the address is said before a model is loaded.
    with store.opened() as answers, prepared.opened(answers) as backend:
        expected = Expected(prepared, backend, progress_bar)
        look = Look(expected, source.prompts, requests, seed, progress_bar)
        if watch is not None:
            _watch(look, server, model, watch, written.get("json"))
        found = look.at(server, model)
    _deliver(found, written.get("json"))
    if code := found.exit_code(strict=strict):
        raise click.exceptions.Exit(code)


def _source(files: tuple[Path, ...], loras: Loras, result: Path | None, data: tuple[Path, ...]) -> Source:
    """What the server is held against.

    Raises:
        UserError: none or several of a result, a base with adapters and a spec were given.
    """
    from sway_gguf.material.files import as_named
    from sway_gguf.served.source import KINDS, Source, source_of
    from sway_gguf.spec.model import load_spec
    from sway_gguf.suite.prepare import default_spec

    if result is not None and not files:
        if loras:
            raise UserError(f"{result} names its adapters itself; leave --lora out, or give BASE in place of --result")
        return source_of(result, as_named(data))
    if result is None and len(files) in (1, 2) and files[0].suffix.lower() not in (".yaml", ".yml"):
        if len(files) == 1 and not loras:
            raise UserError(f"{files[0]}: name the adapter as well, or give a sway.yaml that names both")
        adapters = adapters_of(files[1] if len(files) == 2 else None, loras)
        return Source(default_spec(files[0], adapters, data=data, kinds=KINDS))
    if result is None and len(files) == 1:
        spec = with_loras(load_spec(files[0]), loras)
        suite = [{"name": kind, "kind": kind} for kind in KINDS]
        return Source(spec.model_copy(update={"suite": suite, "data": as_named(data) or spec.data}))
    raise UserError("say what it should serve: --result result.json, or BASE and ADAPTER, or a sway.yaml")


def _deliver(found: Served, output: Output | None) -> None:
    from sway_gguf.report.served import print_served, record_of

    record = partial(record_of, found)
    deliver([(output, record)] if output else [], partial(print_served, found), record)


def _watch(look: Look, server: Server, model: str, every: float, output: Output | None) -> None:
    """Look again and again; a server that does not answer is told, and asked again the next time."""
    import time
    from datetime import datetime

    from sway_gguf.report.served import change_line, record_of

    before: Served | None = None
    while True:
        now = datetime.now().isoformat(sep=" ", timespec="seconds")
        try:
            found = look.at(server, model)
        except UserError as error:
            say(f"{now}  no answer: {error}", err=True)
        else:
            to_stdout = output is not None and output.to_stdout
            say(change_line(now, found, before), err=to_stdout)
            if output is not None:
                output.save(record_of(found, indent=None if to_stdout else 1))
            before = found
        time.sleep(every)
