"""What holds for a run beside its files and its suite, as its result keeps it, and back. Knows fields of a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sway_gguf.spec.model import Spec
from sway_gguf.spec.null_adapter import with_null_settings
from sway_gguf.spec.options import changed

_NOT_KEPT = {"threads", "parallel", "embedder", "rpc"}
"""Settings of the engine on which no number depends, that are files, or that name other machines."""


def settings_of(spec: Spec) -> dict[str, Any]:
    """How text is written, the defaults, and how the engine runs, by a spec's own keys and as plain values."""
    wanted = {"format", "template_kwargs", "defaults", "engine"}
    return spec.model_dump(mode="json", include=wanted, exclude={"engine": _NOT_KEPT})


def with_settings(spec: Spec, settings: Mapping[str, Any], where: str) -> Spec:
    """`spec` with what `settings_of` kept of a run in place of its own, as far as it was kept.

    An entry of kind null_adapter goes into the defaults before: the run's own may have been cut after that.

    Raises:
        UserError: a value that a spec does not take, or a wrong entry.
    """
    spec = with_null_settings(spec)
    text = {key: settings.get(key) for key in ("format", "template_kwargs")}
    return changed(spec, text, where).model_copy(
        update={
            "defaults": changed(spec.defaults, settings.get("defaults", {}), where),
            "engine": changed(spec.engine, settings.get("engine", {}), where),
        }
    )
