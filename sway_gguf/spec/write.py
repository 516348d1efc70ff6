"""A spec as the text of a sway.yaml. Knows fields; where the files lie is said by who calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from sway_gguf.spec.model import Spec
from sway_gguf.spec.options import READERS_OWN


def spec_record(spec: Spec) -> dict[str, Any]:
    """All that a sway.yaml says, defaults too, as plain values."""
    sets = {"adapters"} if not spec.models.ft.adapters else {"adapter"}
    of_a_server = {"url", "timeout"} if spec.models.endpoint is None else set()
    without = {"base": {"adapter", "adapters", *of_a_server}, "ft": {*sets, "url", "timeout"}}
    return spec.model_dump(mode="json", exclude={**dict.fromkeys(READERS_OWN, True), "models": without})


def spec_text(record: Mapping[str, Any]) -> str:
    """YAML that `load_spec` reads to the same record."""
    return yaml.safe_dump(dict(record), sort_keys=False, allow_unicode=True, width=10_000)
