"""Odd values and small damage by seed, for trees of plain values, for text and for bytes. Knows no format of ours."""

from __future__ import annotations

import copy
import math
import random
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7, 2**31, 2**63 - 1, 2**64, -(2**63), 10**40, 10**400),
    *(0.0, -0.0, 0.5, 1.5, -1e-9, 1e300, 5e-324, math.nan, math.inf, -math.inf),
    *(
        "",
        "x",
        "nan",
        "1",
        "é😀",
        "[red]x[/blue]",
        "[/]",
        "a\nb\r\nc",
        "\x1b[31m",
        "\u202e",
        "\ud800",
        "\0",
        "x" * 3000,
    ),
    *("../x", "/dev/zero", "/", ".", "~nobody/x", "q_proj(", "(a+)+$", "assistant", "user", "llama", "delta_kl"),
    *([], {}, [[]], [1], [math.nan] * 3, [0] * 300, ["x", "x"], {"a": None}, {"": 1}, {"name": []}),
)
INTEGERS = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 62, (1 << 63) - 1, (1 << 64) - 1)
SNIPPETS = (
    *("a: &a [*a]", "<<: *x", "<<: [1]", "!!python/object/apply:os.system [x]", "!!int ''", "2001-99-99", "1:2:3"),
    *(
        "? [a]\n: b",
        "- " * 70,
        "[" * 90,
        "{a: " * 90,
        "---",
        "...",
        "%YAML 9.9",
        "\t",
        "\0",
        "\x85",
        "&a *a",
        "'",
        '"\\ud83d"',
    ),
    *("# " + " " * 2000 + "x", "```", "~~~", "#" * 50, "\n\n\n", "::instruction::", "\ufeff", "\u2028", "\ud800", "\r"),
    *(
        '{"text": 1}',
        '{"text": "a"}' * 2,
        "[" * 2000,
        "1e999",
        '{"a": ' * 1500,
        "NaN",
        "." * 3000,
        "!" * 10 + '"' * 999,
    ),
)


def deep(depth: int) -> Any:
    """A list within a list, `depth` times."""
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found


def odd_value(rng: random.Random) -> Any:
    """One of `ODD`, or a list nested deeply."""
    return deep(rng.choice((40, 100))) if rng.random() < 0.02 else copy.deepcopy(rng.choice(ODD))


def spoiled_tree(tree: Any, rng: random.Random, times: int | None = None) -> Any:
    """A copy with one to three values replaced, doubled, moved, wrapped or gone."""
    found: list[Any] = [copy.deepcopy(tree)]
    for _ in range(times or rng.randrange(1, 4)):
        holder, key = _place(found, rng)
        change = rng.randrange(8)
        if change < 4:
            holder[key] = odd_value(rng)
        elif change == 4 and holder is not found:
            del holder[key]
        elif change == 5:
            holder[key] = [holder[key]] if rng.random() < 0.5 else {"x": holder[key]}
        elif change == 6:
            other, place = _place(found, rng)
            holder[key] = copy.deepcopy(other[place])
        elif isinstance(holder, dict):
            holder[rng.choice(["x", "kind", "name", "text", "step", "[/x]", "a\nb"])] = odd_value(rng)
        else:
            holder.append(copy.deepcopy(holder[key]))
    return found[0]


def _place(tree: list[Any], rng: random.Random) -> tuple[Any, Any]:
    """(container, key) of a value, found by going down from the top: each level is as likely as the next."""
    holder, key = tree, 0
    while isinstance(holder[key], list | dict) and holder[key] and rng.random() < 0.75:
        holder = holder[key]
        key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
    return holder, key


def spoiled_text(text: str, rng: random.Random) -> str:
    """Lines doubled, gone, exchanged or cut, and snippets of many a syntax put in."""
    lines = text.split("\n")
    for _ in range(rng.randrange(1, 4)):
        place, change = rng.randrange(len(lines)), rng.randrange(6)
        if change == 0 and len(lines) > 1:
            del lines[place]
        elif change == 1:
            lines.insert(place, rng.choice(lines))
        elif change == 2:
            lines[place] = lines[place][: rng.randrange(len(lines[place]) + 1)]
        else:
            cut = rng.randrange(len(lines[place]) + 1)
            lines[place] = lines[place][:cut] + rng.choice(SNIPPETS) + lines[place][cut:]
    return "\n".join(lines)


def spoiled_bytes(data: bytes, rng: random.Random, reach: int | None = None) -> bytes:
    """Bytes flipped, cut, doubled or overwritten by telling integers, within the first `reach`."""
    found = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        if not found:
            break
        place = rng.randrange(min(len(found), reach or len(found)))
        change = rng.randrange(6)
        if change == 0:
            found[place] ^= 1 << rng.randrange(8)
        elif change == 1:
            found[place] = rng.randrange(256)
        elif change == 2:
            del found[place:]
        elif change == 3:
            del found[place : place + rng.randrange(1, 9)]
        elif change == 4:
            found[place:place] = found[place : place + rng.randrange(1, 40)]
        else:
            width = rng.choice((4, 8))
            found[place : place + width] = (rng.choice(INTEGERS) % (1 << 8 * width)).to_bytes(width, "little")
    return bytes(found)
