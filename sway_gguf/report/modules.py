"""Names of many modules in few words. Knows llama.cpp's names; not what is said of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

BLOCK = re.compile(r"^blk\.(\d+)\.(.+)\.weight$")


def by_kind(modules: Iterable[str]) -> list[str]:
    """Modules of one kind together: `attn_q of blocks 0-3, 7`."""
    blocks: dict[str, list[int]] = {}
    for module in modules:
        found = BLOCK.match(module)
        blocks.setdefault(found[2] if found else module.removesuffix(".weight"), []).extend(
            [int(found[1])] if found else []
        )
    return [f"{kind} of blocks {_ranges(numbers)}" if numbers else kind for kind, numbers in blocks.items()]


def _ranges(numbers: Sequence[int]) -> str:
    """`0-3, 7` for 0, 1, 2, 3, 7."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
