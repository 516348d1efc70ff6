"""What every probe entry of a spec has in common, and how a wrong entry is reported.

Probe kinds add their own fields in their own files.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError

from sway_gguf.core.errors import UserError
from sway_gguf.core.strict import StrictModel

CHECKPOINT = ("checkpoint", "store_path", "adapter_path")
"""Options by which probes of the training run name its folder: our own, and the original's two."""
PACK, BUILT_IN = "pack", "builtin"
"""The option that names a file of items, and its word for those of the package."""
READERS_OWN = frozenset({"file", "folder", "remarks"})
"""Fields that the reader of a spec sets; no file may."""


class ProbeOptions(StrictModel):
    """Fields of every entry in `suite`."""

    name: str = Field(min_length=1, description="unique in the suite; shown in the report")
    kind: str = Field(description="which probe")
    enabled: bool = Field(default=True, description="false leaves the probe out, and the report says so")
    informational: bool = Field(default=False, description="true keeps it from failing a gate")
    picked_on: str = Field(default="", description="hash of the adapter by looking at which the items were picked")


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], raw: Mapping[str, Any], where: str) -> Model:
    """`raw` as `model`.

    Raises:
        UserError: every wrong field in one line; an unknown key comes with the nearest valid one.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = [_problem(model, issue) for issue in error.errors()]
        raise UserError(f"{where}: {'; '.join(problems)}") from None


def changed(record: Model, values: Mapping[str, Any], where: str) -> Model:
    """`record` with those of `values` that are not None in place of its own.

    Raises:
        UserError: a value that the record does not take.
    """
    given = {key: value for key, value in values.items() if value is not None}
    return validated(type(record), {**record.model_dump(), **given}, where) if given else record


def nearest(name: str, valid: Iterable[str]) -> str:
    """`, did you mean 'x'?` for the closest of `valid`, or the list of them when none is close."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"valid are: {', '.join(names)}"


def _problem(model: type[BaseModel], issue: Any) -> str:
    location = ".".join(str(part) for part in issue["loc"])
    if issue["type"] == "extra_forbidden":
        valid = set(_keys(model, issue["loc"][:-1])) - READERS_OWN
        return f"unknown key {location!r}, {nearest(str(issue['loc'][-1]), valid)}"
    if issue["type"] == "missing":
        return f"{location!r} is missing"
    return f"{location!r}: {issue['msg'].removeprefix('Value error, ')} (it is {_shown(issue['input'])})"


def _keys(model: type[BaseModel], path: tuple[Any, ...]) -> Iterable[str]:
    """Field names of the record at `path` inside `model`."""
    current: Any = model
    for part in path:
        field = getattr(current, "model_fields", {}).get(part)
        if field is not None:
            current = field.annotation
        elif get_origin(current) is dict:
            current = get_args(current)[1]
    return getattr(current, "model_fields", model.model_fields)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
