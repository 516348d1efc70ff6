"""`sway-gguf mine`: hard cases from a pool, for a spec."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from sway_gguf.cli.common import FILE, format_options, in_format
from sway_gguf.cli.output import say
from sway_gguf.cli.saving import check_folder, write_whole
from sway_gguf.cli.storing import StoreWish, store_options
from sway_gguf.core.errors import UserError


@click.command(
    epilog="Example:  sway-gguf mine sway.yaml --pool prompts.txt --most 16 --write",
)
@click.argument("spec_path", metavar="SWAY.YAML", type=FILE)
@click.option(
    "--pool", type=FILE, required=True, help="Prompts, one per line; or JSONL with prompt, gold, paraphrases."
)
@click.option("--most", type=click.IntRange(1), default=8, show_default=True, help="Prompts, or rewordings per case.")
@format_options
@store_options
@click.option("--write", is_flag=True, help="Add the entry to SWAY.YAML instead of printing it.")
def mine(
    spec_path: Path,
    pool: Path,
    most: int,
    write: bool,
    format: str | None,
    chat_template_kwargs: dict[str, Any] | None,
    store: StoreWish,
) -> None:
    """Pick from a pool the prompts that the adapter moves most, or the rewordings that it answers worst.

    They make a test for the next adapter: what was picked by looking at this one cannot test it, and a run says so.
    """
    from sway_gguf.choose.mine import mined, outline
    from sway_gguf.cli.progress import progress_bar
    from sway_gguf.cli.running import watching
    from sway_gguf.core.inputs import read_exact
    from sway_gguf.spec.append import appended, fragment
    from sway_gguf.spec.model import load_spec
    from sway_gguf.suite.prepare import prepare

    spec = in_format(load_spec(spec_path), format, chat_template_kwargs)
    if write:  # what stands in the way is told before the work
        appended(read_exact(spec_path), outline(pool), spec_path)
        check_folder(spec_path)
    with store.opened() as answers, (prepared := prepare(spec)).opened(answers) as backend:
        holds, speech = prepared.room.holds, prepared.texts.speech
        shown = partial(watching, prepared, progress_bar)
        entry = mined(backend, pool, most, prepared.adapter_hash, holds, speech, shown)
    for remark in prepared.room.left_out({}):
        say(remark, err=True)
    if not write:
        say(fragment(entry), end="")
        return
    try:
        write_whole(spec_path, appended(read_exact(spec_path), entry, spec_path))
    except UserError:
        say(fragment(entry), end="")
        raise
    say(f"{spec_path}: entry {entry['name']!r} added; it tests the next adapter")
