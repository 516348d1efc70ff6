"""From a result.json to the run that it tells of: its files, checked to be the same, its format and its prompts.

Knows records and files; loads no model.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sway_gguf.artifacts.digest import sha256_of_all
from sway_gguf.artifacts.shards import open_shards
from sway_gguf.core.errors import UserError
from sway_gguf.core.file_records import FileRecord
from sway_gguf.core.result import SuiteResult
from sway_gguf.core.result_json import read_result
from sway_gguf.material.files import Files
from sway_gguf.spec.model import FORMATS, Spec
from sway_gguf.spec.models import AdapterSpec
from sway_gguf.suite.prepare import default_spec

KINDS = ("applied",)
"""What stands in the suite of a spec that is only asked for files and format."""
_FOLDER = "the chat template of "


class Source(NamedTuple):
    """What a server is held against: a spec, and prompts of the run beside those of its data."""

    spec: Spec
    prompts: tuple[str, ...] = ()


def source_of(path: Path, data: Files = None) -> Source:
    """The run of a result.

    Args:
        path: of a result.json.
        data: in place of the files that it names.

    Raises:
        UserError: it is no result, or base or adapter are gone or other files than they were.
    """
    result = read_result(path)
    records = {record.role: record for record in result.files}
    base = _found(records.get("base"), "base", path)
    _same(base, records["base"], path)
    adapters = [_adapter(record, path) for record in result.files if record.role == "adapter"]
    if not adapters:
        raise UserError(f"{path}: it names no adapter; give BASE and ADAPTER instead")
    named = data or _data(records.get("data"), path)
    spec = default_spec(base, adapters, data=named, kinds=KINDS)
    spoken = {"format": _format(result), "template_kwargs": result.settings.get("template_kwargs", {})}
    spec = spec.model_copy(update=spoken)
    return Source(spec, () if named else _prompts(result))


def _adapter(record: FileRecord, result: Path) -> AdapterSpec:
    found = _found(record, record.role, result)
    _same(found, record, result)
    return AdapterSpec(path=found, scale=record.adapter.scale if record.adapter else 1.0)


def _found(record: FileRecord | None, role: str, result: Path) -> Path:
    if record is None:
        raise UserError(f"{result}: it names no {role}; give BASE and ADAPTER instead")
    given = Path(record.path)
    for place in (given, result.parent / given, result.parent / given.name):
        if place.exists():
            return place
    raise UserError(f"{result}: its {role} {record.path} is not there; give BASE and ADAPTER instead")


def _same(path: Path, record: FileRecord, result: Path) -> None:
    files = [shard.path for shard in open_shards(path)] if record.role == "base" else [path]
    if sha256_of_all(files) != record.sha256:
        raise UserError(f"{path}: not the {record.role} of {result} any more; run the suite again, or name the files")


def _data(record: FileRecord | None, result: Path) -> Path | None:
    """The data where it is one file that is still there; a result does not name all of several."""
    if record is None:
        return None
    given = Path(record.path)
    return next((place for place in (given, result.parent / given) if place.exists()), None)


def _format(result: SuiteResult) -> str:
    """What `--format` would have said."""
    words = result.format.removeprefix("the ").removesuffix(" template")
    if words in FORMATS:
        return words
    if result.format.startswith(_FOLDER):
        return result.format.removeprefix(_FOLDER)
    if result.format == "plain text":
        return "plain"
    return "chat" if result.format else "auto"


def _prompts(result: SuiteResult) -> tuple[str, ...]:
    """What stood before the replies that the run scored, or the prompt itself where that is all."""
    return tuple(dict.fromkeys(asked[0] for asked in result.texts.values() if asked and asked[0].strip()))
