"""Rows of Parquet and Arrow files, and the files of a folder that `datasets` saved; by way of pyarrow, an extra.

Reads a few rows at a time. Knows the formats, not what the rows say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import check_input, read_utf8
from sway_gguf.core.json_text import parse_json

PARQUET, ARROW = {".parquet"}, {".arrow", ".feather"}
TABLES = PARQUET | ARROW
"""Endings of files that hold a table."""
_ROWS = 64
"""Rows that are in memory at once, beside the batch of the file that holds them."""
_FILE_MAGIC = b"ARROW1"
_MOST_STATE = 16 << 20
TRAINED = "train"
"""The split of a saved folder that is taken for what was trained on."""


def rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """("path, row n", record) of each row; a key without a value is left out, as it is in JSON.

    Raises:
        UserError: pyarrow is not installed, or the file cannot be read.
    """
    if not check_input(path, "a Parquet or Arrow file"):
        raise UserError(f"{path}: the file is empty; give a file with text in it")
    try:
        import pyarrow
    except ImportError:
        raise UserError(f"{path}: reading it needs pyarrow; pip install 'sway-gguf[parquet]'") from None
    count = 0
    try:
        for batch in _parquet(path) if path.suffix.lower() in PARQUET else _arrow(path):
            for start in range(0, batch.num_rows, _ROWS):
                for record in batch.slice(start, _ROWS).to_pylist():
                    count += 1
                    yield f"{path}, row {count}", _plain(record)
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        # Damage is told by many classes, with line breaks and stack traces of the library's own.
        said = (str(error).splitlines() or [""])[0][:200]
        raise UserError(f"{path}: cannot be read behind row {count} ({said}); write the file again") from error


def dataset_files(folder: Path) -> list[Path]:
    """The Arrow files of a folder saved by `datasets`, in order; of one with splits, those of "train".

    Raises:
        UserError: it is no such folder, or has no such split.
    """
    named = splits(folder)
    if named:
        if TRAINED not in named:
            raise UserError(f"{folder}: its splits are {', '.join(named)}; name one, such as {folder / named[0]}")
        return dataset_files(folder / TRAINED)
    if not any((folder / name).is_file() for name in ("state.json", "dataset_info.json")):
        raise UserError(f"{folder}: this is a directory; give files, such as '{folder / '*.jsonl'}'")
    found = _files_in_state(folder) or sorted(p for p in folder.glob("*.arrow") if not p.name.startswith("cache-"))
    if not found:
        raise UserError(f"{folder}: a saved dataset without .arrow files; save it again")
    return found


def splits(folder: Path) -> list[str]:
    """Names of the splits of a saved folder; none where it has none.

    Raises:
        UserError: its list of splits cannot be read.
    """
    place = folder / "dataset_dict.json"
    if not place.is_file():
        return []
    named = _json(place).get("splits")
    if not isinstance(named, list) or not all(isinstance(name, str) and (folder / name).is_dir() for name in named):
        raise UserError(f"{place}: 'splits' must name folders beside it; save the dataset again")
    return named


def _files_in_state(folder: Path) -> list[Path]:
    """What the folder's own list names: other files there are left-overs."""
    place = folder / "state.json"
    named = _json(place).get("_data_files") if place.is_file() else None
    if not isinstance(named, list) or not all(isinstance(each, dict) for each in named):
        return []
    return [folder / Path(str(each.get("filename"))).name for each in named]


def _json(path: Path) -> dict[str, Any]:
    found = parse_json(read_utf8(path, "a JSON file", _MOST_STATE), str(path), "save the dataset again")
    if not isinstance(found, dict):
        raise UserError(f"{path}: an object is wanted, not {type(found).__name__}; save the dataset again")
    return found


def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path, memory_map=True) as file:
        yield from file.iter_batches(batch_size=_ROWS, use_threads=False)


def _arrow(path: Path) -> Iterator[Any]:
    import pyarrow
    import pyarrow.ipc

    with pyarrow.memory_map(str(path)) as source:
        indexed = source.read(len(_FILE_MAGIC)) == _FILE_MAGIC
        source.seek(0)
        reader = pyarrow.ipc.open_file(source) if indexed else pyarrow.ipc.open_stream(source)
        batches = map(reader.get_batch, range(reader.num_record_batches)) if indexed else reader
        for batch in batches:
            batch.validate(full=True)  # What a damaged file says of its own offsets is not to be followed.
            yield batch


def _plain(value: Any) -> Any:
    """As JSON would have it: columns that another row has are not this row's, and dates are text."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
