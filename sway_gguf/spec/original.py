"""What a spec of the original project holds beside ours, and what becomes of it here. Knows field names only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEFAULTS = {
    "top_k": "divergences are exact over the vocabulary",
    "differential": "one base is loaded once, views are swapped",
    "coverage_threshold": "axes are verdicts, not a composite score",
    "concurrent_probes": "every view is asked everything at once",
    "score_weights": "axes are verdicts, not weighted scores",
}
_MODELS = {
    "dtype": "a GGUF has its own types",
    "device": "engine.gpu_layers says what runs on the GPU",
    "trust_remote_code": "a GGUF holds no code",
    "entry_point": "the backend is llama.cpp",
    "endpoint": "the backend is llama.cpp",
}
_BASE = _MODELS | {"adapter": "the base is tested without one"}
_OUR_BACKEND = "sway_gguf.engine.sway_entry:SwayBackend"


def adapted(raw: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """`raw` in our fields, and a remark for each field that has no effect here.

    `dlm_source` becomes `data` where no data are named.
    """
    ours, remarks = dict(raw), list[str]()
    if isinstance(ours.get("defaults"), Mapping):
        ours["defaults"] = _without(ours["defaults"], _DEFAULTS, "defaults", remarks)
    models = ours.get("models")
    if isinstance(models, Mapping):
        ours["models"] = {
            side: _model(model, side, remarks) if isinstance(model, Mapping) else model
            for side, model in models.items()
        }
    source = ours.pop("dlm_source", None)
    if source is not None:
        ours.setdefault("data", source)
    return ours, tuple(remarks)


def _model(given: Mapping[str, Any], side: str, remarks: list[str]) -> dict[str, Any]:
    """One side. The original's way to our backend is `kind: custom`; here it is the only backend."""
    ours = _without(given, _BASE if side == "base" else _MODELS, f"models.{side}", remarks)
    if given.get("kind") == "custom" and given.get("entry_point") == _OUR_BACKEND:
        ours["kind"] = "gguf"
    return ours


def _without(given: Mapping[str, Any], retired: Mapping[str, str], where: str, remarks: list[str]) -> dict[str, Any]:
    remarks += [f"{where}.{key} has no effect here: {retired[key]}" for key in given if key in retired]
    return {key: value for key, value in given.items() if key not in retired}
