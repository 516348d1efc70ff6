"""How often does `served` mistake what a server serves? Base, tuned and half scale, asked again by other seeds.

One start of llama-cpp-python's server holds all of them under names. A seed draws other prompts; what the server
answered to a prompt before is not asked again. Prints, for each deployment, the verdicts, the requests and the error
rate with its exact 95% interval.

    python -m benchmarks.served --trials 100
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.serving import serving
from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.core.served import Served, Serves
from sway_gguf.deploy.merge import merge
from sway_gguf.engine.http import Server
from sway_gguf.material.packaged import DEMO
from sway_gguf.served.expected import Advance, Expected
from sway_gguf.served.run import Look
from sway_gguf.served.source import KINDS
from sway_gguf.stats.binomial import proportion_interval
from sway_gguf.suite.prepare import default_spec, prepare

BASE, ADAPTER, DATA = DEMO / "base.f32.gguf", DEMO / "healthy.lora.gguf", DEMO / "document.md"
RIGHT = {"tuned": Serves.TUNED, "base": Serves.BASE, "half": Serves.ELSE}
"""What the three of the contract are; the others are shown beside."""
OTHERS = {
    "twice": Serves.ELSE,
    "random": Serves.ELSE,
    "overtrained": Serves.ELSE,
    "tuned Q8_0": Serves.TUNED,
    "tuned Q4_0": None,
}
"""Other scales, adapters and quantizations; of a coarse one either verdict, or none, is right."""


class Remembering(Server):
    """A server whose answers are kept: the same body is sent once."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, key)
        self._kept: dict[str, Any] = {}

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer, from the first time; every call counts as a request."""
        key = json.dumps([path, body])
        if key in self._kept:
            self.requests += 1
        else:
            self._kept[key] = super().post(path, body)
        return self._kept[key]


def scaled(folder: Path, scale: float) -> Path:
    """The demo's healthy adapter whose own scale is `scale` times as large, as a wrong alpha makes it."""
    adapter, path = read_adapter(ADAPTER, read_base(BASE)), folder / f"scaled-{scale:g}.lora.gguf"
    write_lora(replace(adapter, path=path, alpha=adapter.alpha * scale), path)
    return path


def deployments(folder: Path, *, more: bool) -> dict[str, dict[str, str]]:
    """What the server holds, by name."""
    base = {"model": str(BASE)}
    found = {
        "tuned": base | {"lora_path": str(ADAPTER)},
        "base": base,
        "half": base | {"lora_path": str(scaled(folder, 0.5))},
    }
    if more:
        found["twice"] = base | {"lora_path": str(scaled(folder, 2.0))}
        for name in ("random", "overtrained"):
            found[name] = base | {"lora_path": str(DEMO / f"{name}.lora.gguf")}
        for kind in ("Q8_0", "Q4_0"):
            path = folder / f"merged.{kind}.gguf"
            merge(BASE, read_adapter(ADAPTER, read_base(BASE)), path, kind=kind)
            found[f"tuned {kind}"] = {"model": str(path)}
    return found


def looks(address: str, names: list[str], seeds: range, requests: int, key: str = "") -> Iterator[tuple[str, Served]]:
    """What was found of each deployment, seed by seed."""
    servers = {name: Remembering(address, key) for name in names}
    ready = prepare(default_spec(BASE, ADAPTER, data=DATA, kinds=KINDS))
    with ready.opened() as backend:
        expected = Expected(ready, backend, silent)
        for seed in seeds:
            look = Look(expected, (), requests, seed, silent)
            for name, server in servers.items():
                yield name, look.at(server, name)


@contextmanager
def silent(total: int, **_: object) -> Iterator[Advance]:
    """No progress is shown."""
    yield lambda what, done: None


def main() -> None:
    """Print a line per deployment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--more", action="store_true", help="other scales, adapters and quantizations too")
    options = parser.parse_args()
    verdicts: dict[str, Counter[Serves]] = {}
    asked: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        held = deployments(Path(scratch), more=options.more)
        with serving(held, Path(scratch)) as address:
            for name, found in looks(address, list(held), range(options.trials), options.requests):
                verdicts.setdefault(name, Counter())[found.serves] += 1
                asked.setdefault(name, []).append(found.requests)
    for name, counts in verdicts.items():
        right = (RIGHT | OTHERS)[name]
        wrong = sum(counts.values()) - counts[right] if right else 0
        interval = proportion_interval(wrong, options.trials)
        assert interval is not None
        told = ", ".join(f"{serves} {count}" for serves, count in counts.most_common())
        rate = f"errors {wrong} of {options.trials} ({interval.low:.3f}…{interval.high:.3f})" if right else "no error"
        print(f"{name}: {told}; {rate}; at most {max(asked[name])} requests", flush=True)


if __name__ == "__main__":
    main()
