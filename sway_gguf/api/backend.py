"""`open_backend`: the model and its views by hand. Knows arguments; what a view is stands in `engine`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import finalize

from sway_gguf.api.arguments import PathLike, StoreLike, path_of, store_of
from sway_gguf.artifacts.digest import remembering
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.factory import open_backend as opened
from sway_gguf.engine.store_digests import RememberedDigests
from sway_gguf.engine.store_place import usual_store
from sway_gguf.spec.options import changed

if TYPE_CHECKING:
    from pathlib import Path


def open_backend(
    base: PathLike,
    adapter: PathLike | None = None,
    *,
    threads: int | None = None,
    context: int | None = None,
    batch: int | None = None,
    gpu_layers: int | None = None,
    store: StoreLike = None,
) -> DoorBackend:
    """A base and an adapter, to be asked view by view; a context manager, or call its `close()`.

    `as_base()`, `as_finetuned()`, `as_scaled_adapter(lam)` and `as_null_adapter(seed)` each open a view for the length
    of a `with` block, one at a time. A view answers `next_token_dist`, `logprob_of`, `rolling_logprob` and `generate`,
    and lists of questions by the same names with `_many`.

    Args:
        base: a GGUF model.
        adapter: a LoRA GGUF or a PEFT folder; without one only the base can be opened.
        threads, context, batch, gpu_layers: llama.cpp's -t, -c, -b and -ngl.
        store: of answers, as `check` has it. What it holds is not asked again, and the model is loaded with the first
            question that it does not answer; with False, at once.

    Raises:
        UserError: a file or an argument is wrong, or the two do not fit.
        EngineError: llama.cpp failed; where the model is loaded later, then.
    """
    engine = {"threads": threads, "context": context, "batch": batch, "gpu_layers": gpu_layers}
    settings = changed(EngineSettings(), engine, "open_backend()")
    tuned: Path | None = None if adapter is None else path_of(adapter, "adapter")
    wish = store_of(store)
    answers = usual_store(wish.folder, off=wish.off)
    with remembering(RememberedDigests(answers.file)):
        backend = opened(path_of(base, "base"), tuned, settings, store=answers)
        if answers.on:
            backend.cache_identity()  # Hashes the files while hashes are remembered.
    finalize(backend, answers.close)
    return backend
