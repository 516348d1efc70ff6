"""What an answer hangs on beside its question: contents of files, builds, features of the processor, settings.

Never a name or a path. Threads are left out: on SmolLM2-135M (Q4_1) and the demo, with flash attention and without,
one, two and three gave the same bits for scores, rows and replies. So are the context's width, the batch and the
streams: they decide what stands in a unit and its limits, which are asked with it. Knows files and libraries; loads no
model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from sway_gguf.artifacts import null, rounding
from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.digest import sha256_of, sha256_of_all
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.stack import Adapted, as_stack
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.loras import HELD, stack_key
from sway_gguf.core.views import BASE, TUNED, BaseView, NullView, SetPart, View, is_rerun
from sway_gguf.engine.build import engine_identity
from sway_gguf.engine.doors import is_base

CODE = 4
"""To be raised by whoever changes what is done with a unit: how its jobs are cut into calls, or logits reduced."""

IN_UNITS = frozenset({"threads", "parallel", "context", "batch", "streams", "embedder", "rpc"})
"""Settings that change no bits of a unit, or stand in it otherwise; any other is part of every identity."""


class Identity:
    """Of one base with one adapter, or a set of them, in one engine.

    Args:
        base: the model.
        settings: of the engine.
        adapter: the real one, or the set; None for none.
        elsewhere: of the bits that servers gave in a trial, where layers are computed on other machines. What these
            are nobody tells; answers of others that give other bits are not theirs.
    """

    def __init__(self, base: BaseModel, settings: EngineSettings, adapter: Adapted | None, elsewhere: str = "") -> None:
        self._base = base
        self._settings = settings
        self._stack = None if adapter is None else as_stack(adapter)
        self._elsewhere = {"elsewhere": elsewhere} if elsewhere else {}
        self._members: dict[int, str] = {}
        self._digests: dict[str, str] = {}

    def of(self, view: View) -> dict[str, Any]:
        """All that answers of `view` hang on; of the base no adapter."""
        return {
            "view": standing(view),
            "base": self._digest("base"),
            "adapter": self._adapters(view),
            "null code": null.VERSION if isinstance(view, NullView) else 0,
            "rounding code": rounding.VERSION if is_rerun(view) else 0,
            "settings": kept_settings(self._settings),
            "code": CODE,
            "engine": engine_identity(gpu=self._settings.layers != 0),
            **self._elsewhere,
        }

    def of_embeddings(self) -> dict[str, Any]:
        """All that vectors of texts hang on: no view, no adapter."""
        model = self._digest("embedder" if self._settings.embedder else "base")
        settings = {"gpu_layers": self._settings.gpu_layers}
        engine = engine_identity(gpu=self._settings.layers != 0)
        elsewhere = {} if self._settings.embedder else self._elsewhere
        return {"embedder": model, "code": CODE, "settings": settings, "engine": engine, **elsewhere}

    @property
    def files(self) -> dict[str, str]:
        """Digests of base and adapters; "" for no adapter. They are read when they are first asked for."""
        return {"base": self._digest("base"), "adapter": self._adapters(TUNED)}

    def digest(self) -> str:
        """One of the files' contents, the library and the settings, but not of how views share the threads."""
        settings = self._settings.model_copy(update={"parallel": 0})
        known = f"{engine_identity(gpu=settings.layers != 0)} {settings} {self._elsewhere}"
        digest = hashlib.sha256(known.encode())
        for file in self.files.values():
            digest.update(file.encode())
        return digest.hexdigest()

    def _adapters(self, view: View) -> str:
        """Those that `view` runs, or draws its null from."""
        if self._stack is None or is_base(view):
            return ""
        members = self._stack.members
        if isinstance(view, SetPart):
            return self._key(view.places)
        held = [place for place, member in enumerate(members) if member.held and isinstance(view, NullView)]
        turned = self._key([place for place in range(len(members)) if place not in held])
        return turned + (HELD + self._key(held) if held else "")

    def _key(self, places: Sequence[int]) -> str:
        assert self._stack is not None
        return stack_key([(self._member(place), self._stack.members[place].scale) for place in places])

    def _member(self, place: int) -> str:
        if place not in self._members:
            assert self._stack is not None
            self._members[place] = adapter_digest(self._stack.members[place].adapter)
        return self._members[place]

    def _digest(self, which: str) -> str:
        if which not in self._digests:
            if which == "base":
                found = sha256_of_all(self._base.shards or (self._base.path,))
            else:
                assert self._settings.embedder is not None
                found = sha256_of(self._settings.embedder)
            self._digests[which] = found
        return self._digests[which]


def standing(view: View) -> View:
    """The view under which answers are kept: an adapter at scale 0 is the base, for no adapter runs there; a part of a
    set is the tuned view of that part, whatever the set."""
    if isinstance(view, SetPart):
        return TUNED
    return BASE if is_base(view) and not isinstance(view, BaseView) else view


def kept_settings(settings: EngineSettings) -> dict[str, Any]:
    """Those that may change the bits of a unit."""
    return settings.model_dump(mode="json", exclude=set(IN_UNITS))


def adapter_digest(adapter: LoraAdapter) -> str:
    """Of the file that llama.cpp loads, or of the factors where there is none, such as those of a converted folder."""
    if adapter.in_file:
        return sha256_of(adapter.path)
    digest = hashlib.sha256(f"{adapter.architecture} {adapter.alpha!r}\n".encode())
    for pair in adapter.pairs:
        for factor, kind in ((pair.a, pair.a_type), (pair.b, pair.b_type)):
            digest.update(f"{pair.module} {kind} {factor.shape}\n".encode())
            digest.update(np.ascontiguousarray(factor, "<f4").tobytes())
    return digest.hexdigest()
