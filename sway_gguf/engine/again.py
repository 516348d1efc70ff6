"""Computes kept answers once more, from files that are found by what they hold.

Knows requests, files and the backend that answers; nothing of the store that kept the answers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.digest import sha256_of_all
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.stack import Member, Stack
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import EngineError, NonFiniteError, UserError
from sway_gguf.core.loras import HELD, members_of
from sway_gguf.engine.identity import adapter_digest
from sway_gguf.engine.keeping import asked_in
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.packed import JobError
from sway_gguf.engine.store import open_store

Found = TypeVar("Found")
_WRONG = b""
"""No value that anybody keeps."""
_IN_ORDER = 2
"""Adapters whose updates llama.cpp adds in one order wherever they lie in memory; of more, the last bits may differ."""


class Again:
    """Answers requests anew; used in a `with` block, for it keeps the model of the last one loaded.

    Args:
        given: files and PEFT folders to look among.
        places: paths at which a digest was seen, which are looked at behind them.
    """

    def __init__(self, given: Sequence[Path], places: Callable[[str], Iterable[bytes]]) -> None:
        self._given = given
        self._places = places
        self._backend: LlamaBackend | None = None
        self._standing: tuple[str, EngineSettings] | None = None
        self._adapter = ""

    def __call__(self, request: bytes) -> bytes | None:
        """The value of a request, as it would be kept now; None where its files are not found, or answer otherwise.

        A model that gives no numbers now where it gave some then is no reason for None.
        """
        found = asked_in(request)
        if found is None:
            return None
        try:
            backend = self._ready(found[0])
            return backend.again(request) if backend else None
        except (NonFiniteError, JobError):
            return _WRONG

    def close(self) -> None:
        """Release the model."""
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ready(self, identity: Mapping[str, Any]) -> LlamaBackend | None:
        """A backend on the files of an identity; None where they are not found, or cannot be used."""
        if "elsewhere" in identity:  # Those servers are not asked again.
            return None
        digest, wanted = str(identity.get("base") or identity.get("embedder")), str(identity.get("adapter", ""))
        try:
            settings = EngineSettings.model_validate(identity.get("settings"))
        except ValueError:  # from a build with other settings
            return None
        with suppress(UserError, EngineError, OSError):
            if self._standing != (digest, settings) or self._backend is None:
                self._open(digest, settings)
            if self._backend is not None and wanted not in ("", self._adapter):
                self._swap(self._backend, wanted)
            return self._backend if wanted in ("", self._adapter) else None
        return None

    def _open(self, digest: str, settings: EngineSettings) -> None:
        self.close()
        self._standing, self._adapter = (digest, settings), ""
        if base := _first(self._candidates(digest), lambda path: _base_of(path, digest)):
            # With a store, if only one that is off, weights are loaded when something is to be computed.
            self._backend = LlamaBackend(base, None, settings, open_store(None))

    def _swap(self, backend: LlamaBackend, wanted: str) -> None:
        turned, _, beside = wanted.partition(HELD)
        members = [(*each, True) for each in (members_of(beside) if beside else ())]
        members += [(*each, False) for each in members_of(turned)]
        if len(members) > _IN_ORDER:
            return
        found = [(self._found(digest, backend.base), scale, held) for digest, scale, held in members]
        stack = tuple(Member(adapter, scale, held) for adapter, scale, held in found if adapter is not None)
        if len(stack) == len(members):
            backend.swap(Stack(stack))
            self._adapter = wanted

    def _found(self, digest: str, base: BaseModel) -> LoraAdapter | None:
        return _first(self._candidates(digest), lambda path: _adapter_of(path, base, digest))

    def _candidates(self, digest: str) -> Iterator[Path]:
        yield from self._given
        yield from (Path(os.fsdecode(place)) for place in self._places(digest))


def _base_of(path: Path, digest: str) -> BaseModel | None:
    base = read_base(path)
    return base if sha256_of_all(base.shards or (base.path,)) == digest else None


def _adapter_of(path: Path, base: BaseModel, digest: str) -> LoraAdapter | None:
    adapter = read_adapter(path, base)
    return adapter if adapter_digest(adapter) == digest else None


def _first(paths: Iterable[Path], read: Callable[[Path], Found | None]) -> Found | None:
    """What the first path gives of which anything can be read."""
    for path in paths:
        with suppress(UserError, OSError):
            if (found := read(path)) is not None:
                return found
    return None
