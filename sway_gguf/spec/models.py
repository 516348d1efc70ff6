"""The two sides of a spec's comparison: the base, and the adapter or adapters on it. Knows fields; opens no file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from sway_gguf.core.endpoint import Endpoint
from sway_gguf.core.loras import Lora, Loras
from sway_gguf.core.strict import StrictModel
from sway_gguf.spec.paths import Paths

MOST_ADAPTERS = 16
"""Of a set. Each is a view of its own, and takes memory."""


class AdapterSpec(StrictModel):
    """One adapter of a set."""

    path: Path = Field(description="the LoRA GGUF")
    scale: float = Field(default=1.0, description="what its update is multiplied by")
    data: Paths | None = Field(default=None, description="what this one was trained on")
    holdout: Paths | None = Field(default=None, description="text like it that was kept out of training")

    @property
    def lora(self) -> Lora:
        """Its file and scale."""
        return Lora(self.path, self.scale)


Tested = Path | Sequence[AdapterSpec]
"""An adapter, or those of a set."""


def _adapter_entry(value: Any) -> Any:
    return {"path": value} if isinstance(value, str | Path) else value


class ModelSpec(StrictModel):
    """One model: a base GGUF, for `ft` with a LoRA GGUF, or several that run together."""

    kind: Literal["gguf", "server"] = Field(
        default="gguf", description="gguf: it is loaded here; server: a running llama-server answers, in `base` only"
    )
    base: Path = Field(description="the base GGUF")
    url: str = Field(default="", description="of the llama-server, where the kind is server; in `base` only")
    timeout: float = Field(default=300.0, gt=0, le=86_400, description="seconds that it has for one answer")
    adapter: Path | None = Field(default=None, description="the LoRA GGUF; in `ft` only")
    adapters: list[Annotated[AdapterSpec, BeforeValidator(_adapter_entry)]] = Field(
        default_factory=list, max_length=MOST_ADAPTERS, description="in place of it several, or one at another scale"
    )

    @model_validator(mode="after")
    def _one_way(self) -> ModelSpec:
        if self.adapter is not None and self.adapters:
            raise ValueError("give adapter or adapters, not both; the one goes into the list of the other")
        return self

    @property
    def members(self) -> tuple[AdapterSpec, ...]:
        """Every adapter, whichever field names it."""
        return tuple(self.adapters) if self.adapter is None else (AdapterSpec(path=self.adapter),)

    @property
    def loras(self) -> Loras:
        """Their files and scales."""
        return tuple(each.lora for each in self.members)

    def with_members(self, adapters: Sequence[AdapterSpec]) -> ModelSpec:
        """The same base with these adapters; one at scale 1 without text of its own stands in `adapter`."""
        one = adapters[0] if len(adapters) == 1 else None
        plain = one is not None and one == AdapterSpec(path=one.path)
        changed = {"adapter": one.path, "adapters": []} if one and plain else {"adapter": None, "adapters": [*adapters]}
        return self.model_copy(update=changed)


class Models(StrictModel):
    """The two sides of the comparison."""

    base: ModelSpec
    ft: ModelSpec

    @model_validator(mode="after")
    def _one_server(self) -> Models:
        base, tuned = self.base, self.ft
        if (base.kind == "server") != bool(base.url):
            raise ValueError("base: kind: server and url: http://HOST:PORT go together")
        for name in sorted(tuned.model_fields_set & {"kind", "url", "timeout"}):
            if getattr(tuned, name) != getattr(base, name):
                raise ValueError(f"ft: {name} is not that of base; one server answers for both, and base names it")
        return self

    @property
    def kind(self) -> str:
        """Which backend answers, for both."""
        return self.base.kind

    @property
    def endpoint(self) -> Endpoint | None:
        """Where the server is; None where the model is loaded here."""
        return Endpoint(self.base.url, self.base.timeout) if self.base.url else None
