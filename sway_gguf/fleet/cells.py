"""From a sweep to its cells, each with a key of what it is made of.

The key is a digest of contents: files, spec, scale, seed, versions. Never of a name or a position; so a cell that was
measured is known again whatever else the sweep gained, and one whose adapter was written anew is another cell. Knows
files and specs; runs nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sway_gguf import __version__
from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.digest import sha256_of, sha256_of_all, size_of
from sway_gguf.artifacts.peft_config import CONFIG
from sway_gguf.core.errors import UserError
from sway_gguf.fleet.cell import Cell
from sway_gguf.material.files import data_files
from sway_gguf.spec.model import FORMATS, Spec, load_spec
from sway_gguf.spec.models import AdapterSpec, Models, ModelSpec
from sway_gguf.spec.named import TEXTS, named_in
from sway_gguf.spec.options import READERS_OWN, changed
from sway_gguf.spec.sweep import CHECK, Sweep
from sway_gguf.suite.prepare import first_spec

_KEY = 24
"""Hexadecimal digits of a key: 96 bits, so that no two cells ever share one, and file names stay short."""
_NOT_CONTENT = {"models", "gate", "version", "format", *READERS_OWN, *TEXTS}
_NO_NUMBER = {"threads", "parallel", "embedder"}
"""Settings on which no number depends; an embedder counts by its content."""


def cells_of(
    sweep: Sweep, said: Callable[[Spec], Spec] = lambda spec: spec, say: Callable[[str], None] = lambda line: None
) -> list[Cell]:
    """All cells, base by base; of cells with the same content the first stands for all.

    A file that is not there makes a cell all the same: its run tells what is wrong, and the others go on.

    Args:
        sweep: the grid.
        said: a suite's spec with what the command line says in place of its own values.
        say: told of cells with the same content.

    Raises:
        UserError: a suite or a text that cannot be read.
    """
    digest_of_adapter = cache(_digest_of_adapter)
    digest, found, same = cache(_digest), dict[str, Cell](), list[Cell]()
    digest_of_base = cache(_digest_of_base)
    suites = {name: said(_suite(sweep, name)) for name in sweep.suites}
    for base in sweep.bases:
        for adapter in sweep.adapters:
            digests = {"base": digest_of_base(sweep.at(base)), "adapter": digest_of_adapter(sweep.at(adapter))}
            for name, suite in suites.items():
                for seed in sweep.seeds or [suite.defaults.seed]:
                    content = content_of(_on(suite, sweep.at(base), sweep.at(adapter), seed, 1.0), digest)
                    for scale in sweep.scales:
                        spec = _on(suite, sweep.at(base), sweep.at(adapter), seed, scale)
                        key = _key(content, digests, scale, (base, adapter))
                        cell = Cell(key, base, adapter, scale, seed, name, spec, digests)
                        if found.setdefault(key, cell) is not cell:
                            same.append(cell)
    for cell in same[:1]:
        more = f", and {len(same) - 1} more such cells" if len(same) > 1 else ""
        say(f"{cell} is by its content the same as {found[cell.key]}, and measured once{more}")
    return list(found.values())


def shard_of(cells: Sequence[Cell], number: int, count: int) -> list[Cell]:
    """Part `number`, from 1, of `count` parts that are alike in size and together all; a part has as few bases as may
    be. Every machine that has the same sweep and files finds the same parts."""
    ordered = sorted(cells, key=lambda cell: (cell.digests["base"], cell.key))
    return ordered[len(ordered) * (number - 1) // count : len(ordered) * number // count]


def content_of(spec: Spec, digest: Callable[[Path], str]) -> dict[str, Any]:
    """What of a spec a result hangs on, files by their content."""
    record = spec.model_dump(mode="json", exclude=_NOT_CONTENT | {"engine"})
    record["engine"] = spec.engine.model_dump(mode="json", exclude=_NO_NUMBER)
    record["embedder"] = digest(spec.engine.embedder) if spec.engine.embedder else ""
    record["format"] = spec.format if spec.format in FORMATS else digest(Path(spec.format))
    for role in TEXTS:
        record[role] = [digest(path) for path in data_files(getattr(spec, role))]
    record["named"] = [digest(each.path) for each in named_in(spec) if each.role == "suite"]
    return record


def bytes_to_hash(sweep: Sweep) -> int:
    """Of the models that keys are made from."""
    paths = [sweep.at(word) for word in (*sweep.bases, *sweep.adapters)]
    return sum(size_of(path) for path in paths if path.exists())


def _key(content: dict[str, Any], digests: Mapping[str, str], scale: float, names: Sequence[str]) -> str:
    whole = {
        "versions": [__version__, version("llama-cpp-python")],
        "spec": content,
        "scale": scale,
        "files": dict(digests),
        # What is not there has no content, and only its name tells it from another.
        "missing": [name for name, found in zip(names, digests.values(), strict=True) if not found],
    }
    text = json.dumps(whole, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY]


def _suite(sweep: Sweep, name: str) -> Spec:
    """A suite's spec, with what the sweep says in its place.

    Raises:
        UserError: it cannot be read, or takes no such value.
    """
    nowhere = Path("base.gguf"), Path("adapter.gguf")
    spec = first_spec(*nowhere) if name == CHECK else load_spec(sweep.at(name))
    given: dict[str, Any] = {role: getattr(sweep, role) for role in TEXTS if getattr(spec, role) is None}
    engine = dict(sweep.engine)
    if engine.get("embedder"):
        engine["embedder"] = sweep.at(str(engine["embedder"]))
    return spec.model_copy(
        update={
            **given,
            "format": sweep.format if spec.format == "auto" else spec.format,
            "defaults": changed(spec.defaults, sweep.defaults, "defaults"),
            "engine": changed(spec.engine, engine, "engine"),
        }
    )


def _on(spec: Spec, base: Path, adapter: Path, seed: int, scale: float) -> Spec:
    tuned = ModelSpec(base=base).with_members([AdapterSpec(path=adapter, scale=scale)])
    models = Models(base=ModelSpec(base=base), ft=tuned)
    defaults = spec.defaults.model_copy(update={"seed": seed})
    return spec.model_copy(update={"models": models, "defaults": defaults})


def _digest(path: Path) -> str:
    """Of a file's or a folder's content; "" where it cannot be read."""
    with suppress(OSError, ValueError):
        return sha256_of(path)
    return ""


def _digest_of_base(path: Path) -> str:
    """As a result records it: of all files that a split base has."""
    with suppress(OSError, UserError):
        return sha256_of_all(read_base(path).shards)
    return _digest(path)


def _digest_of_adapter(path: Path) -> str:
    """Of a file or a folder; of one that holds no adapter itself, also of the checkpoints in it."""
    whole = _digest(path)
    if not path.is_dir() or (path / CONFIG).is_file():
        return whole
    with suppress(OSError):
        parts = [f"{part.name} {sha256_of(part)}" for part in sorted(path.iterdir()) if (part / CONFIG).is_file()]
        whole = hashlib.sha256("\n".join([whole, *parts]).encode()).hexdigest() if parts else whole
    return whole
