"""Probes of other packages, in our form and in the original's, found by entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sway_gguf.core.errors import UserError
from sway_gguf.material.packaged import DEMO
from sway_gguf.probes.plugins import GROUP, plugin_kinds

OURS = '''
from typing import Literal
from sway_gguf.core.measurement import Item, Measurement
from sway_gguf.core.queries import NextToken
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.spec.options import ProbeOptions

class Options(ProbeOptions):
    kind: Literal["sharper"] = "sharper"

class Sharper(Probe[Options]):
    """Mean change of the likeliest token's log-probability, nats."""
    kind, axis, unit = "sharper", "signal", "nats"
    question, passing, caveat = "Is it surer?", "it beats every null", "surer is not better."
    options_type = Options

    def missing(self):
        return ""

    def ask(self):
        return [NextToken(prompt) for prompt in self.sources.prompts]

    def measure(self, base, other):
        items = tuple(
            Item(p, float(other.next_token(p).max() - base.next_token(p).max())) for p in self.sources.prompts
        )
        return Measurement(mean_of(items), items)
'''
THEIRS = '''
from typing import Literal
from dlm_sway.core.result import ProbeResult, Verdict
from dlm_sway.probes.base import Probe, ProbeSpec

class GapSpec(ProbeSpec):
    kind: Literal["gap"] = "gap"
    text: str = "The keeper of the lighthouse is called Quill."

class Gap(Probe):
    """How much likelier the tuned model finds one text."""
    kind, spec_cls, category = "gap", GapSpec, "attribution"

    def run(self, spec, ctx):
        with ctx.backend.as_base() as view:
            before = view.rolling_logprob(spec.text).total_logprob
        with ctx.backend.as_finetuned() as view:
            after = view.rolling_logprob(spec.text).total_logprob
        return ProbeResult(
            name=spec.name, kind=spec.kind, verdict=Verdict.PASS, score=1.0, raw=after - before, message="looked"
        )
'''


def installed(folder: Path, *lines: str) -> Path:
    """A package that brings probes, as pip would leave it."""
    (folder / "their_probes.py").write_text(THEIRS, encoding="utf-8")
    (folder / "our_probes.py").write_text(OURS, encoding="utf-8")
    info = folder / "more_probes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: more-probes\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]), encoding="utf-8")
    return folder


def sway(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from sway_gguf.cli.main import main; main()", *words]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)


def test_plugins_of_both_forms_run_and_are_calibrated(tmp_path: Path) -> None:
    folder = installed(tmp_path, "sharper = our_probes:Sharper", "gap = their_probes:Gap")
    spec = folder / "sway.yaml"
    base = json.dumps(str(DEMO / "base.f32.gguf"))
    spec.write_text(
        f"models:\n  base: {{base: {base}}}\n"
        f"  ft: {{base: {base}, adapter: {json.dumps(str(DEMO / 'healthy.lora.gguf'))}}}\n"
        f"data: {json.dumps(str(DEMO / 'document.md'))}\n"
        "suite:\n  - {kind: applied}\n  - {kind: sharper}\n  - {kind: gap, text: Quill wears a coat of feathers.}\n",
        encoding="utf-8",
    )
    done = sway(folder, "run", str(spec), "--nulls", "6", "--json", "-")
    assert done.returncode == 0, done.stderr
    probes = {probe["kind"]: probe for probe in json.loads(done.stdout)["probes"]}
    assert probes["gap"]["axis"] == "direction"
    assert probes["gap"]["verdict"] == "PASS"
    assert probes["gap"]["value"] > max(probes["gap"]["null"]["values"])
    assert len(probes["gap"]["null"]["values"]) == len(probes["sharper"]["null"]["values"]) == 6
    assert probes["gap"]["notes"] == ["looked"]
    listed = sway(folder, "probes")
    assert "sharper" in listed.stdout
    assert "How much likelier the tuned model finds one text." in sway(folder, "probes", "gap").stdout


@pytest.fixture
def fresh() -> Iterator[None]:
    """Plugins are looked for once per process."""
    plugin_kinds.cache_clear()
    yield
    plugin_kinds.cache_clear()


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("line", "complaint"),
    [("x = no_such_module:X", "cannot be loaded"), ("x = pathlib:Path", "has no kind, spec_cls, run")],
)
def test_a_plugin_that_is_no_probe_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, complaint: str
) -> None:
    monkeypatch.syspath_prepend(str(installed(tmp_path, line)))
    with pytest.raises(UserError, match=complaint):
        plugin_kinds()


def test_plugins_take_part_in_check_and_init(tmp_path: Path) -> None:
    folder = installed(tmp_path, "sharper = our_probes:Sharper", "gap = their_probes:Gap")
    files = [str(DEMO / "base.f32.gguf"), str(DEMO / "healthy.lora.gguf"), "--data", str(DEMO / "document.md")]
    planned = sway(folder, "check", *files, "--dry-run")
    assert "sharper" in planned.stdout, planned.stderr
    assert "gap" not in planned.stdout  # The original's form asks the model at length: it is left to `run`.
    done = sway(folder, "init", *files, "-o", str(tmp_path / "sway.yaml"))
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "sway.yaml").read_text(encoding="utf-8")
    assert "{name: sharper, kind: sharper}" in text
    assert "{name: gap, kind: gap}" in text
    assert "# Is it surer?" in text
