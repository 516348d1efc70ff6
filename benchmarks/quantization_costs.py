"""What quantizing alone takes from a base, by the very probes that look for an adapter's damage.

The base in each type answers what `external_perplexity`, `everyday_replies` and `calibration_drift` ask, and stands
where they expect the tuned model. A base that is quantized itself is made into F16 first: then the loss is that of
weights which were rounded once before, and what the first rounding lost is not seen. Knows no adapter's effect; one is
named because a suite wants it.

    python -m benchmarks.quantization_costs BASE ADAPTER --types Q8_0,Q4_K_M,Q4_0
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sway_gguf.artifacts.base import read_base
from sway_gguf.core.answers import Answers
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.queries import Query
from sway_gguf.deploy.merge import merge
from sway_gguf.engine.factory import open_backend
from sway_gguf.probes.base import Probe
from sway_gguf.stats.interval import mean_interval
from sway_gguf.suite.prepare import default_spec, prepare

KINDS = ("external_perplexity", "everyday_replies", "calibration_drift")
SEED = 0


def answers_of(model: Path, queries: Sequence[Query], settings: EngineSettings) -> Answers:
    """What a model alone answers."""
    with open_backend(model, settings=settings) as backend, backend.as_base() as view:
        return Answers(zip(queries, view.answer(list(queries)), strict=True))


def rows(
    base: Path, adapter: Path, types: Sequence[str], settings: EngineSettings, general: Path | None
) -> Iterator[str]:
    """A line of Markdown for each type, and the headings."""
    prepared = prepare(default_spec(base, adapter, general=general, engine=settings, kinds=KINDS))
    probes: Sequence[Probe[Any]] = prepared.probes
    queries = list(dict.fromkeys(query for probe in probes for query in probe.ask()))
    floats = "F16" if read_base(base).quantized else "F32"
    yield f"| {floats} → | {' | '.join(f'{probe.kind}, {probe.unit}' for probe in probes)} |"
    yield "|---" * (1 + len(probes)) + "|"
    with TemporaryDirectory() as folder:

        def answered(kind: str) -> Answers:
            model = Path(folder) / f"{kind}.gguf"
            merge(base, None, model, kind=kind)
            try:
                return answers_of(model, queries, settings)
            finally:
                model.unlink()

        whole = answered(floats)
        for kind in types:
            other = answered(kind)
            yield f"| {kind} | {' | '.join(_cell(probe, whole, other) for probe in probes)} |"


def _cell(probe: Probe[Any], base: Answers, other: Answers) -> str:
    found = probe.measure(base, other)
    span = mean_interval([item.value for item in found.items])
    ends = f" [{span.low:+.4f}, {span.high:+.4f}]" if span else ""
    turned = f"; {found.turned.words}" if found.turned and found.items else ""
    return f"{found.value:+.4f}{ends}, {len(found.items)} items{turned}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--types", default="Q8_0,Q4_K_M,Q4_0")
    parser.add_argument("--general", type=Path)
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    settings = EngineSettings(threads=given.threads)
    for line in rows(given.base, given.adapter, given.types.split(","), settings, given.general):
        print(line, flush=True)


if __name__ == "__main__":
    main()
