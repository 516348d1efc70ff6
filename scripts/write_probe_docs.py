"""Writes docs/probes.md from what the probes say of themselves. A test holds that it is current.

python scripts/write_probe_docs.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sway_gguf.probes.registry import KINDS, card
from sway_gguf.report.probe_list import shown_default

DOCS = Path(__file__).parents[1] / "docs" / "probes.md"
_OPENING = """# Probes

Each probe asks one question of the base, your adapter and, where that makes sense, of null adapters, on the very same
queries. The same text comes from `sway-gguf probes KIND`. Logarithms are natural: nats. `name`, `kind`, `enabled`
and `picked_on` (the hash of an adapter by looking at which the items were picked: it is not judged by them) stand in
every entry of a suite; `check` runs the probes marked *quick*.

How a value is judged: against nulls it must beat every one, with its tail p below alpha after Holm's correction over
the run and its family-wise rank p allowing it; against a tolerance its 95% interval over items must lie on
the right side. The [design notes](design.md) say why.
"""


def document() -> str:
    """The page."""
    return "\n".join([_OPENING, *(line for kind in KINDS for line in _section(card(KINDS[kind]), KINDS[kind].quick))])


def _section(probe: Mapping[str, Any], quick: bool) -> Iterator[str]:
    yield f"## {probe['kind']}"
    yield ""
    yield f"*{probe['axis']}, in {probe['unit']}{', quick' if quick else ''}.* **{probe['question']}**"
    yield ""
    yield probe["definition"]
    yield ""
    yield f"PASS: {probe['passing']}. It does not mean more: {probe['caveat']}"
    yield ""
    fields = {
        name: field for name, field in probe["fields"].items() if name not in ("name", "kind", "enabled", "picked_on")
    }
    if fields:
        yield "| field | default | meaning |"
        yield "|---|---|---|"
        for name, field in fields.items():
            yield f"| `{name}` | {_code(shown_default(field))} | {field.get('description', '')} |"
        yield ""
    for name, why in probe["retired"].items():
        yield f"- `{name}` of the original has no effect: {why}."
    if probe["retired"]:
        yield ""


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    DOCS.write_text(document(), encoding="utf-8")
