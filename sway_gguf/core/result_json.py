"""result.json: a result as JSON and back, and the JSON Schema of it. Knows result records only."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from sway_gguf.core.errors import UserError
from sway_gguf.core.json_text import parse_json
from sway_gguf.core.plain import json_text
from sway_gguf.core.result import SCHEMA_VERSION, SuiteResult

_ADAPTER = TypeAdapter(SuiteResult)


def to_json(result: SuiteResult) -> str:
    """The result as indented JSON with a final newline; equal results give equal text."""
    return json_text(_ADAPTER.dump_python(result, mode="json"), indent=1) + "\n"


def from_json(text: str, where: str) -> SuiteResult:
    """Read a result back.

    Raises:
        UserError: not JSON, of another schema version, or not of this shape.
    """
    raw = parse_json(text, where, "give a result.json")
    found = raw.get("schema_version") if isinstance(raw, dict) else None
    if found != SCHEMA_VERSION:
        raise UserError(f"{where}: schema version {found}, this release reads {SCHEMA_VERSION}; run the suite again")
    try:
        return _ADAPTER.validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{where}: {place}: {first['msg']}; run the suite again") from None


def schema() -> dict[str, Any]:
    """The JSON Schema of result.json."""
    return _ADAPTER.json_schema() | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"sway-gguf result, version {SCHEMA_VERSION}",
    }
