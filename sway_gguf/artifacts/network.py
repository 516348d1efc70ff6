"""Which file systems other machines share. Knows how systems name them; not what is kept there."""

from __future__ import annotations

import os
import re
from pathlib import Path

_SHARED = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ncpfs", "ceph", "lustre", "gpfs", "beegfs", "pvfs2", "orangefs",
    "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.rclone", "fuse.s3fs", "fuse.juicefs",
}  # fmt: skip
_MOUNTS = Path("/proc/self/mountinfo")


def network_disk(folder: Path, mounts: str | None = None) -> str:
    """The kind of network file system on which a folder lies, or would lie; "" for others and where it cannot be told.

    Args:
        folder: it need not be there.
        mounts: what Linux says of its mounts; read where it is not given.
    """
    if os.name == "nt":
        return "a share" if str(folder.absolute()).startswith("\\\\") else ""
    try:
        text = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape") if mounts is None else mounts
        place = folder.resolve()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in text.splitlines():
        about, _, source = line.partition(" - ")
        fields = about.split(" ")
        if len(fields) < 5 or not source:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4]))
        # Of two mounts on one place the later hides the earlier.
        if place.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), source.split(" ")[0]
    return kind if kind in _SHARED else ""
