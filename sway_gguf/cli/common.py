"""Options that commands share, and a spec with what they say in place of its own values. Runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sway_gguf.spec.model import Spec

Command = Callable[..., Any]


class Seconds(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A duration such as 90, 60s, 5m or 1.5h, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse it."""
        seconds = seconds_of(str(value))
        if seconds is None:
            self.fail(f"{value!r} is no duration; write 60s, 5m or 1h", param, ctx)
        return seconds


def seconds_of(text: str) -> float | None:
    """A duration in seconds; None where it is none."""
    text = text.strip().lower()
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    try:
        seconds = float(text[:-1] if unit else text) * (unit or 1)
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None


class JsonObject(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A JSON object such as {"enable_thinking": false}."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Parse it.

        Raises:
            UserError: it is none.
        """
        from sway_gguf.core.errors import UserError
        from sway_gguf.core.json_text import parse_json

        if isinstance(value, dict):
            return value
        where, mend = "--chat-template-kwargs", "give an object such as '{\"enable_thinking\": false}'"
        found = parse_json(str(value), where, mend)
        if not isinstance(found, dict):
            raise UserError(f"{where}: a {type(found).__name__}; {mend}")
        return found


SECONDS = Seconds()
FILE = click.Path(path_type=Path)
FILES: dict[str, Any] = {"type": FILE, "multiple": True}
"""Of an option that names text: it may stand several times, and each may be a pattern or a saved dataset's folder."""
force_option = click.option("--force", is_flag=True, help="Replace a file that is no result of sway-gguf.")


def engine_options(command: Command) -> Command:
    """-t, -c, -b, -ub, -fa, -ngl under llama.cpp's own names, and --parallel."""
    for option in (
        click.option(
            "--parallel",
            type=click.IntRange(0, 256),
            metavar="N",
            help="Views answered side by side, which share the threads (default 0: as many as there are threads and "
            "memory holds; on a GPU 1). No number depends on it.",
        ),
        click.option("-ngl", "--gpu-layers", type=click.IntRange(-1), help="Layers on the GPU, -1 for all."),
        click.option(
            "-fa",
            "--flash-attn",
            "flash_attention",
            type=click.Choice(["on", "off"]),
            callback=lambda ctx, param, value: None if value is None else value == "on",
            help="Flash attention (default off).",
        ),
        click.option("-ub", "--ubatch", "--ubatch-size", type=click.IntRange(16), help="Tokens per step of a call."),
        click.option("-b", "--batch", "--batch-size", type=click.IntRange(16), help="Tokens per call of llama.cpp."),
        click.option(
            "-c",
            "--context",
            "--ctx-size",
            type=click.IntRange(16),
            help="Longest text in one piece, tokens.",
        ),
        click.option("-t", "--threads", type=click.IntRange(1), help="CPU threads."),
    ):
        command = option(command)
    return command


def rpc_option(command: Command) -> Command:
    """--rpc, by llama.cpp's own name."""
    decorated: Command = click.option(
        "--rpc",
        metavar="HOST:PORT,…",
        help="Experimental: llama.cpp's RPC servers that hold and compute the layers, for a base larger than this "
        "machine. They first have to answer a few prompts as this machine does.",
    )(command)
    return decorated


def format_options(command: Command) -> Command:
    """--format, and --chat-template-kwargs under llama.cpp's own name."""
    for option in (
        click.option(
            "--chat-template-kwargs",
            type=JsonObject(),
            metavar="JSON",
            help="Further variables of the chat template, such as '{\"enable_thinking\": false}'.",
        ),
        click.option(
            "--format",
            metavar="FORMAT",
            help="How dialogues become text: auto, chat (the base's own template), plain, alpaca, chatml, llama3, "
            "gemma, mistral, phi, or a .jinja file or PEFT folder with a template (default auto).",
        ),
    ):
        command = option(command)
    return command


def overridden(
    spec: Spec,
    *,
    seed: int | None,
    nulls: int | None,
    threads: int | None,
    context: int | None,
    batch: int | None,
    gpu_layers: int | None,
    ubatch: int | None = None,
    flash_attention: bool | None = None,
    parallel: int | None = None,
    show: int | None = None,
    looks: int | None = None,
    nulls_for_everything: bool | None = None,
    format: str | None = None,
    chat_template_kwargs: dict[str, Any] | None = None,
    rpc: str | None = None,
    where: str = "the command line",
) -> Spec:
    """`spec` with what was given on the command line, or elsewhere, in place of its own values.

    Raises:
        UserError: a value outside the bounds that a spec has.
    """
    from sway_gguf.spec.options import changed

    engine = {
        "threads": threads,
        "context": context,
        "batch": batch,
        "gpu_layers": gpu_layers,
        "ubatch": ubatch,
        "flash_attention": flash_attention,
        "parallel": parallel,
        "rpc": None if rpc is None else tuple(each.strip() for each in rpc.split(",")),
    }
    defaults = {
        "seed": seed,
        "nulls": nulls,
        "show": show,
        "looks": looks,
        "nulls_for_everything": nulls_for_everything,
    }
    return in_format(spec, format, chat_template_kwargs, where).model_copy(
        update={
            "defaults": changed(spec.defaults, defaults, where),
            "engine": changed(spec.engine, engine, where),
        }
    )


def in_format(
    spec: Spec, format: str | None, chat_template_kwargs: dict[str, Any] | None, where: str = "the command line"
) -> Spec:
    """`spec` with a format and further variables of its template, where they are given.

    Raises:
        UserError: variables that a template takes from the dialogue.
    """
    from sway_gguf.spec.options import changed

    settings = {**spec.template_kwargs, **chat_template_kwargs} if chat_template_kwargs is not None else None
    return changed(spec, {"format": format, "template_kwargs": settings}, where)
