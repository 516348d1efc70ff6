"""result.json: a result as JSON and back, of every schema version there was, and the JSON Schema of the newest.

Knows result records and how their shape has changed; nothing of what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import read_utf8
from sway_gguf.core.json_text import parse_json
from sway_gguf.core.plain import json_text
from sway_gguf.core.result import SCHEMA_VERSION, SuiteResult

_ADAPTER = TypeAdapter(SuiteResult)
_MOST_BYTES = 256 << 20
_IN_THE_TABLE = {"items": {"__all__": {"asked"}}, "controls": {"__all__": {"asked"}}}
"""What was asked stands once, in `texts`, under the keys of its items."""


def to_json(result: SuiteResult) -> str:
    """The result as indented JSON with a final newline; equal results give equal text."""
    return json_text(record_of(result), indent=1) + "\n"


def record_of(result: SuiteResult) -> dict[str, Any]:
    """The result as JSON has it."""
    record: dict[str, Any] = _ADAPTER.dump_python(result, mode="json", exclude={"probes": {"__all__": _IN_THE_TABLE}})
    for file in record["files"]:
        if file["adapter"] and file["adapter"]["scale"] == 1.0:
            del file["adapter"]["scale"]  # As it is where nothing is said.
    return record


def read_result(path: Path) -> SuiteResult:
    """A result.json of any schema version.

    Raises:
        UserError: it cannot be read, is too large, or is none.
    """
    return from_json(read_utf8(path, "a result.json", _MOST_BYTES), str(path))


def from_json(text: str, where: str) -> SuiteResult:
    """Read a result back, of this schema version or an older one.

    Args:
        text: of the file.
        where: its name, for errors.

    Raises:
        UserError: not JSON, of a newer schema version, or not of this shape.
    """
    raw = parse_json(text, where, "give a result.json")
    found = raw.get("schema_version") if isinstance(raw, dict) else None
    if found is None:
        raise UserError(f"{where}: no result of sway-gguf, for it has no schema_version; give what --json wrote")
    if not isinstance(found, int) or not 1 <= found <= SCHEMA_VERSION:
        raise UserError(
            f"{where}: schema version {found}, this release reads 1 to {SCHEMA_VERSION}; update sway-gguf, or run the "
            "suite again"
        )
    try:
        for version in range(found, SCHEMA_VERSION):
            raw = _STEPS[version](raw)
        return _ADAPTER.validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{where}: {place}: {first['msg']}; run the suite again") from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{where}: not a result of schema version {found} ({error}); run the suite again") from None


def schema() -> dict[str, Any]:
    """The JSON Schema of result.json."""
    return _ADAPTER.json_schema() | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"sway-gguf result, version {SCHEMA_VERSION}",
    }


def _from_first(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Version 1 had headers as mappings, curve and table among the details, and did not say which way is better."""
    return {
        **raw,
        "schema_version": 2,
        "files": [_file(record) for record in raw["files"]],
        "probes": [_probe(probe) for probe in raw["probes"]],
    }


def _file(record: Mapping[str, Any]) -> dict[str, Any]:
    about, rest = record.get("about") or {}, {key: value for key, value in record.items() if key != "about"}
    return {**rest, record["role"]: about} if record["role"] in ("base", "adapter") else rest


def _probe(probe: Mapping[str, Any]) -> dict[str, Any]:
    details = probe.get("details") or {}
    found = {**probe, "better": _BETTER_IN_FIRST.get(probe["kind"], "")}
    if probe["kind"] == "adapter_ablation" and "lambdas" in details:
        found["curve"] = {
            "scales": details["lambdas"],
            "values": details["distances"],
            "lifts": details.get("lifts", ()),
            "peak": details.get("peak"),
        }
    if probe["kind"] == "top1_flips" and "mean_kl" in details:
        found["table"] = {
            "columns": list(details),
            "rows": [{"name": "KL(base ‖ tuned)", "cells": list(details.values())}],
        }
    return found


_BETTER_IN_FIRST = {"leakage": "lower", "top1_flips": "lower"} | dict.fromkeys(
    (
        *("adapter_revert", "style_fingerprint", "section_internalization"),
        *("content", "paraphrase_invariance", "preference_flip", "external_perplexity", "everyday_replies"),
        "calibration_drift",
    ),
    "higher",
)
_STEPS: Mapping[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: _from_first}
"""From a schema version to the next."""
