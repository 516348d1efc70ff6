"""An archive of a run as a zip: written with a manifest, and read as if its author meant harm.

Knows names, sizes and digests; nothing of what the members hold. What a header says of a member is checked against
the manifest while its bytes are read in chunks, so a header that lies costs no more than the manifest allows.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import check_input
from sway_gguf.core.json_text import parse_json
from sway_gguf.core.names import folded, unfit
from sway_gguf.core.plain import json_text
from sway_gguf.core.strict import StrictModel
from sway_gguf.spec.options import validated

FORMAT = 1
MANIFEST, SPEC, RESULT = "manifest.json", "sway.yaml", "result.json"
MOST_ARCHIVE, MOST_OUT = 1 << 30, 4 << 30
"""Bytes of an archive, and of a member and of all members after decompression."""
MOST_RATIO, MOST_MEMBERS = 200, 10_000
_MOST_MANIFEST = 16 << 20
_MOST_DIRECTORY = 8 << 20
_CHUNK = 1 << 20
_END, _END_64, _END_SIZE, _END_64_SIZE = b"PK\x05\x06", b"PK\x06\x07", 22, 20
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error, UnicodeError)
_WANTED = "give an archive that `sway-gguf pack` wrote"


class Digest(StrictModel):
    """A member's bytes and their sha256 in hexadecimal."""

    size: int
    sha256: str


class Model(StrictModel):
    """A model of the run: its file's name, with the size and sha256 that result.json has."""

    name: str
    size: int
    sha256: str


class Manifest(StrictModel):
    """What an archive holds.

    Attributes:
        format: version of this record.
        members: by name, all but the manifest itself.
        models: base, adapter and embedder by role, which the archive need not hold.
    """

    format: int
    members: dict[str, Digest]
    models: dict[str, Model]


def write_archive(target: Path, members: Mapping[str, Path | bytes], models: Mapping[str, Model]) -> None:
    """Write an archive, equal for equal contents, and read it back.

    Args:
        target: to write to; what is there is replaced.
        members: files, or their contents, by name.
        models: of the run.

    Raises:
        UserError: it would be beyond what is read, or a file changed meanwhile.
    """
    digests = {name: _digest(content) for name, content in members.items()}
    manifest = Manifest(format=FORMAT, members=digests, models=dict(models))
    with zipfile.ZipFile(target, "w") as file:
        for name, content in {MANIFEST: json_text(manifest.model_dump(), indent=1).encode(), **members}.items():
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = _method(content), (stat.S_IFREG | 0o644) << 16
            with file.open(info, "w", force_zip64=not isinstance(content, bytes)) as out:
                for chunk in _chunks(content):
                    out.write(chunk)
    with opened(target) as archive:
        archive.extract(None)


@dataclass(frozen=True)
class Archive:
    """An open archive whose names and sizes were checked.

    Attributes:
        path: of it.
        manifest: what it holds.
    """

    path: Path
    manifest: Manifest
    _file: zipfile.ZipFile

    def extract(self, folder: Path | None) -> None:
        """Read every member and check its digest; into a new folder, whole or not at all, where one is given.

        Raises:
            UserError: the folder is there, or a member is not what the manifest says.
        """
        if folder is None:
            self._read(None)
            return
        if os.path.lexists(folder):
            raise UserError(f"{folder}: is there already; name a new folder with -o")
        partial = folder.with_name(f".{folder.name[:40]}.{secrets.token_hex(4)}.sway-part")
        partial.mkdir()
        try:
            self._read(partial)
            if os.path.lexists(folder):
                raise UserError(f"{folder}: is there by now; name a new folder with -o")
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _read(self, folder: Path | None) -> None:
        for info in self._file.infolist()[1:]:
            said, place = self.manifest.members[info.orig_filename], None
            if folder is not None:
                place = folder.joinpath(*info.orig_filename.split("/"))
                place.parent.mkdir(parents=True, exist_ok=True)
            with _damage_told(self.path), self._file.open(info) as source:
                found = _copied(source, place, said.size)
            if found != said:
                raise UserError(f"{self.path}: {info.orig_filename!r} is not what the manifest says; get it again")


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """An archive, its names and sizes checked; no member but the manifest is read yet.

    Raises:
        UserError: it is none, too large, or has members that may not be there.
    """
    _check_end(path, check_input(path, "an archive"))
    with _damage_told(path):
        file = zipfile.ZipFile(path)
    with file:
        infos = file.infolist()
        if not infos or infos[0].orig_filename != MANIFEST:
            raise UserError(f"{path}: {MANIFEST} is not its first member; {_WANTED}")
        _check_members(path, infos)
        if infos[0].file_size > _MOST_MANIFEST:
            raise UserError(f"{path}: its {MANIFEST} is too large; {_WANTED}")
        with _damage_told(path), file.open(infos[0]) as source:
            text = source.read(_MOST_MANIFEST).decode("utf-8")
        yield Archive(path, _manifest(path, text, [info.orig_filename for info in infos[1:]]), file)


def _check_end(path: Path, size: int) -> None:
    """Refuse by the archive's last bytes what would take memory to list."""
    if size > MOST_ARCHIVE:
        raise UserError(f"{path}: {size:,} bytes, and at most {MOST_ARCHIVE:,} are read; {_WANTED}")
    with path.open("rb") as file:
        file.seek(max(0, size - _END_SIZE - _END_64_SIZE))
        tail = file.read()
    end = tail[-_END_SIZE:]
    if len(end) < _END_SIZE or not end.startswith(_END) or end[-2:] != b"\0\0":
        raise UserError(f"{path}: no whole zip archive; {_WANTED}")
    count, directory = struct.unpack("<HI", end[10:16])
    if count > MOST_MEMBERS or directory > _MOST_DIRECTORY or tail.startswith(_END_64):
        raise UserError(f"{path}: more than {MOST_MEMBERS:,} members, or names too long; {_WANTED}")


def _check_members(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    if len(infos) > MOST_MEMBERS:
        raise UserError(f"{path}: {len(infos):,} members, and at most {MOST_MEMBERS:,} are read; {_WANTED}")
    files, folders, total = set[str](), set[str](), 0
    for info in infos:
        name = info.orig_filename
        if why := unfit(name) or _unfit_entry(info):
            raise UserError(f"{path}: member {name!r}: {why}; nothing was unpacked, {_WANTED}")
        if folded(name) in files:
            raise UserError(f"{path}: two members are one file, {name!r}; nothing was unpacked, {_WANTED}")
        files.add(folded(name))
        parts = folded(name).split("/")
        folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        total += info.file_size
    if both := files & folders:
        raise UserError(f"{path}: {min(both)!r} is a file and a folder; nothing was unpacked, {_WANTED}")
    if total > min(MOST_OUT, MOST_RATIO * path.stat().st_size):
        raise UserError(f"{path}: {total:,} bytes after decompression; nothing was unpacked, {_WANTED}")


def _unfit_entry(info: zipfile.ZipInfo) -> str:
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "a link or no regular file"
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "encrypted, or compressed in another way than deflate"
    if info.file_size > MOST_OUT:
        return f"more than {MOST_OUT:,} bytes after decompression"
    if info.file_size > MOST_RATIO * info.compress_size:
        return f"more than {MOST_RATIO} times its size after decompression"
    return ""


def _manifest(path: Path, text: str, names: list[str]) -> Manifest:
    where = f"{path}, {MANIFEST}"
    raw = parse_json(text, where, _WANTED)
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise UserError(f"{where}: no format {FORMAT}, which this release reads; update sway-gguf or {_WANTED}")
    manifest = validated(Manifest, raw, where)
    if other := sorted({SPEC, RESULT, *names} ^ set(names) | set(names) ^ set(manifest.members)):
        raise UserError(f"{path}: {other[0]!r} is in the manifest or in the archive alone, or missing; {_WANTED}")
    return manifest


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise UserError(f"{path}: damaged ({' '.join(str(error).split())[:160]}); get it again") from error


def _copied(source: IO[bytes], place: Path | None, most: int) -> Digest:
    """The digest of what was read, at most a chunk beyond `most` bytes; written too where a place is given."""
    digest, size = hashlib.sha256(), 0
    with open(place, "xb") if place else open(os.devnull, "wb") as out:
        while size <= most and (chunk := source.read(_CHUNK)):
            digest.update(chunk)
            size += len(chunk)
            out.write(chunk)
    return Digest(size=size, sha256=digest.hexdigest())


def _chunks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _digest(content: Path | bytes) -> Digest:
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(content):
        digest.update(chunk)
        size += len(chunk)
    return Digest(size=size, sha256=digest.hexdigest())


def _method(content: Path | bytes) -> int:
    """Deflate, but for what would shrink so much that it looked like a bomb."""
    packer, before, after = zlib.compressobj(), 0, 0
    for chunk in _chunks(content):
        before += len(chunk)
        after += len(packer.compress(chunk))
    after += len(packer.flush())
    return zipfile.ZIP_DEFLATED if before <= MOST_RATIO // 2 * after else zipfile.ZIP_STORED
