"""The files of a run as its result records them, hashed while the model works. Knows files and their headers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sway_gguf.artifacts.digest import give_up_on, sha256_of_all, size_of
from sway_gguf.artifacts.stack import Member
from sway_gguf.artifacts.template_files import template_file
from sway_gguf.core.file_records import AdapterRecord, BaseRecord, FileRecord
from sway_gguf.material.files import data_files, shown
from sway_gguf.spec.model import FORMATS
from sway_gguf.spec.named import TEXTS
from sway_gguf.suite.prepare import Prepared


@contextmanager
def hashed(prepared: Prepared) -> Iterator[list[Future[FileRecord]]]:
    """Hash the files while the model works: hashing a large base takes seconds and needs no GIL."""
    left = threading.Event()
    pool = ThreadPoolExecutor(1, initializer=give_up_on, initargs=(left,))
    try:
        yield [pool.submit(record) for record in _records(prepared)]
    finally:
        # Results have been waited for by now, unless the run was stopped: then Python would wait for a pool to end.
        left.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _records(prepared: Prepared) -> Iterator[Callable[[], FileRecord]]:
    spec, base = prepared.spec, prepared.base
    about = BaseRecord(
        base.name,
        base.architecture,
        base.parameters,
        base.types,
        base.vocabulary,
        base.context_length,
        base.license,
    )
    yield partial(_record, "base", str(base.shards[0]), base.shards, base=about)
    for member, digest in zip(prepared.stack.members, prepared.hashes, strict=True):
        yield partial(_adapter_record, member, digest)
    for role in TEXTS:
        if given := getattr(spec, role):
            yield partial(_record, role, shown(given), data_files(given))
    if spec.format not in FORMATS and (template := template_file(Path(spec.format))):
        yield partial(_record, "template", str(template), (template,))


def _adapter_record(member: Member, sha256: str) -> FileRecord:
    adapter = member.adapter
    about = AdapterRecord(len(adapter.pairs), tuple(adapter.ranks), adapter.alpha, member.scale)
    return _record("adapter", str(adapter.path), (adapter.path,), adapter=about, sha256=sha256)


def _record(
    role: str,
    name: str,
    paths: Sequence[Path],
    base: BaseRecord | None = None,
    adapter: AdapterRecord | None = None,
    sha256: str = "",
) -> FileRecord:
    """A file or several; hashed here unless that was done before."""
    return FileRecord(role, name, sha256 or sha256_of_all(paths), sum(map(size_of, paths)), base, adapter)
