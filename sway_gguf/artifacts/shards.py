"""A base in several files, as llama.cpp splits it: NAME-00001-of-00003.gguf and its siblings. Reads headers only."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.core.errors import UserError

COUNT_KEY, NUMBER_KEY = "split.count", "split.no"
_NAME = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")


def open_shards(path: Path) -> list[GGUFFile]:
    """The file itself, or all shards of which it is the first.

    Raises:
        UserError: another shard than the first was given, one is missing, of another model, or repeats a tensor.
    """
    first = GGUFFile(path)
    count = first.whole(COUNT_KEY)
    if count < 2:
        return [first]
    match = _NAME.match(path.name)
    if match is None or int(match["count"]) != count:
        wanted = f"-00001-of-{count:05d}.gguf"
        raise UserError(f"{path}: one of {count} shards, whose names must end in {wanted} and so on; rename them back")
    names = [path.with_name(f"{match['stem']}-{n:05d}-of-{count:05d}.gguf") for n in range(1, count + 1)]
    if path != names[0]:
        raise UserError(f"{path}: shard {int(match['number'])} of {count}; give the first one, {names[0].name}")
    missing = [name.name for name in names if not name.is_file()]
    if missing:
        raise UserError(f"{path}: {', '.join(missing)} is missing beside it; download all {count} shards")
    shards = [first, *map(GGUFFile, names[1:])]
    for number, shard in enumerate(shards):
        if shard.whole(COUNT_KEY) != count or shard.whole(NUMBER_KEY) != number:
            raise UserError(f"{shard.path}: not shard {number + 1} of {count} of this model; download it again")
    twice = [name for name, times in Counter(name for shard in shards for name in shard.tensors).items() if times > 1]
    if twice:
        raise UserError(f"{path}: {', '.join(twice[:3])} stands in more than one shard; download all {count} again")
    return shards
