"""`check` and `run`: from files or a spec to a result. Knows arguments; how a run goes stands in `suite`."""

from __future__ import annotations

from typing import Any

from sway_gguf.api.arguments import (
    AdaptersLike,
    PathLike,
    PathsLike,
    ProgressLike,
    StoreLike,
    path_of,
    paths_of,
    progress_of,
    store_of,
    tested_of,
)
from sway_gguf.api.result import Result
from sway_gguf.cli.common import overridden, seconds_of
from sway_gguf.cli.running import run_with_progress
from sway_gguf.core.errors import UserError
from sway_gguf.spec.model import Spec, load_spec
from sway_gguf.suite.prepare import first_spec, prepare


def check(
    base: PathLike,
    adapter: AdaptersLike,
    *,
    data: PathsLike = None,
    holdout: PathsLike = None,
    general: PathsLike = None,
    format: str | None = None,
    chat_template_kwargs: dict[str, Any] | None = None,
    nulls: int | None = None,
    looks: int | None = None,
    seed: int | None = None,
    show: int | None = None,
    budget: float | str | None = None,
    threads: int | None = None,
    context: int | None = None,
    batch: int | None = None,
    gpu_layers: int | None = None,
    parallel: int | None = None,
    store: StoreLike = None,
    progress: ProgressLike = None,
) -> Result:
    """Test an adapter on a base, without a spec; as the command `sway-gguf check` does.

    Args:
        base: a GGUF model.
        adapter: a LoRA GGUF or a PEFT folder; or a list of them that run together, each a path or (path, scale).
        data: what the adapter was trained on; a path, a pattern, or a list of them.
        holdout: text like it that was kept out of training.
        general: unrelated text that must not suffer; packaged prose by default.
        format: how dialogues become text; the base's own chat template where it has one by default.
        chat_template_kwargs: further variables of the chat template.
        nulls: null adapters to compare with, 19 by default.
        looks: 2, the default, ends a clear case after the first few nulls; 1 asks all of them.
        seed: of everything random, 0 by default.
        show: replies of base and tuned model to gather for reports, none by default.
        budget: seconds, or a duration such as "60s" or "5m", to which items and nulls are cut.
        threads, context, batch, gpu_layers: llama.cpp's -t, -c, -b and -ngl.
        parallel: views answered side by side; by default as many as there are threads and memory holds.
        store: folder of the answer store, which keeps the model's answers so that nothing is asked twice; None for the
            usual one, False for none.
        progress: None shows a bar in a terminal or a notebook and a line now and then elsewhere, False nothing; a
            function is called with the tokens done, all tokens, and the view that is being asked: by one thread at a
            time, which need not be the caller's.

    Raises:
        UserError: a file or an argument is wrong; nothing was run.
        EngineError: llama.cpp failed.
    """
    spec = first_spec(
        path_of(base, "base"),
        tested_of(adapter, "adapter"),
        data=paths_of(data, "data"),
        holdout=paths_of(holdout, "holdout"),
        general=paths_of(general, "general"),
    )
    return run(
        spec,
        format=format,
        chat_template_kwargs=chat_template_kwargs,
        nulls=nulls,
        looks=looks,
        seed=seed,
        show=show,
        budget=budget,
        threads=threads,
        context=context,
        batch=batch,
        gpu_layers=gpu_layers,
        parallel=parallel,
        store=store,
        progress=progress,
    )


def run(
    spec: PathLike | Spec,
    *,
    format: str | None = None,
    chat_template_kwargs: dict[str, Any] | None = None,
    nulls: int | None = None,
    looks: int | None = None,
    seed: int | None = None,
    show: int | None = None,
    budget: float | str | None = None,
    threads: int | None = None,
    context: int | None = None,
    batch: int | None = None,
    gpu_layers: int | None = None,
    parallel: int | None = None,
    store: StoreLike = None,
    progress: ProgressLike = None,
) -> Result:
    """Run the suite of a spec; as the command `sway-gguf run` does.

    Args:
        spec: path of a sway.yaml, or a `sway_gguf.spec.model.Spec`.
        format, chat_template_kwargs, nulls, looks, seed, show: in place of what the spec says.
        threads, context, batch, gpu_layers, parallel: likewise.
        budget: seconds, or a duration such as "60s".
        store, progress: as `check` has them.

    Raises:
        UserError: a file, the spec or an argument is wrong; nothing was run.
        EngineError: llama.cpp failed.
    """
    wanted = overridden(
        spec_of(spec),
        where="the call",
        seed=seed,
        show=show,
        nulls=nulls,
        looks=looks,
        threads=threads,
        context=context,
        batch=batch,
        gpu_layers=gpu_layers,
        parallel=parallel,
        format=format,
        chat_template_kwargs=chat_template_kwargs,
    )
    seconds = None if budget is None else _seconds(budget)
    with store_of(store).opened() as answers:
        return Result(run_with_progress(prepare(wanted), seconds, progress_of(progress), store=answers))


def spec_of(given: PathLike | Spec) -> Spec:
    """A spec, read where a path was given.

    Raises:
        UserError: it cannot be read or has a wrong field.
    """
    return given if isinstance(given, Spec) else load_spec(path_of(given, "spec"), server=True)


def _seconds(budget: float | str) -> float:
    found = seconds_of(str(budget))
    if found is None:
        raise UserError(f"budget: {budget!r} is no duration; give seconds, or 60s, 5m or 1h")
    return found
