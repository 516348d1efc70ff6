"""`sway-gguf demo`: the main job on the embedded model, in under a minute."""

from __future__ import annotations

from typing import Any

import click

from sway_gguf.cli.common import engine_options
from sway_gguf.cli.output import drawing

_STORIES = {
    "healthy": "trained on the document, with replay",
    "random": "never trained, as large as the healthy one",
    "zero": "B is zero, as before the first step",
    "overtrained": "too many steps, no replay",
}


@click.command(short_help="Test four adapters of an embedded model.", epilog="Example:  sway-gguf demo -t 4")
@engine_options
def demo(**overrides: Any) -> None:
    """Test four adapters of the embedded model: a healthy one, a random one, a zero one, an over-trained one."""
    from sway_gguf.cli.common import overridden
    from sway_gguf.cli.progress import progress_bar
    from sway_gguf.material.packaged import DEMO
    from sway_gguf.report.comparison import print_comparison
    from sway_gguf.suite.demo import demo_spec, run_side_by_side, total_tokens
    from sway_gguf.suite.prepare import prepare

    specs = {name: overridden(demo_spec(DEMO, name), seed=None, nulls=None, **overrides) for name in _STORIES}
    prepared = {name: prepare(spec) for name, spec in specs.items()}
    with progress_bar(total_tokens(prepared)) as advance:
        results = run_side_by_side(prepared, lambda tokens: advance("four adapters", tokens))
    with drawing() as console:
        print_comparison(results, _STORIES, console)
        console.print(
            "\nThe same for your own files:\n"
            "  sway-gguf check BASE.gguf ADAPTER.gguf --data TRAINING.md --general OTHER.txt\n"
            f"One of these in full:\n"
            f"  sway-gguf check {DEMO / 'base.f32.gguf'} {DEMO / 'healthy.lora.gguf'} "
            f"--data {DEMO / 'document.md'} --general {DEMO / 'general.txt'}",
            soft_wrap=True,
            highlight=False,
        )
