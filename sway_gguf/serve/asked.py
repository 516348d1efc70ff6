"""What a request for a run may say, and the spec that it becomes. Runs nothing and loads no model.

Every file is held to the served folder, and only our own probes and llama.cpp itself are run: no plugin, no other
backend, and a chat template only by name or from a file in that folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from sway_gguf.artifacts.shards import open_shards
from sway_gguf.core.errors import UserError
from sway_gguf.core.strict import StrictModel
from sway_gguf.probes.registry import KINDS
from sway_gguf.serve.root import Root
from sway_gguf.spec.model import FORMATS, Spec, load_spec
from sway_gguf.spec.named import TEXTS, named_in
from sway_gguf.spec.null_adapter import KIND as NULL_ADAPTER
from sway_gguf.spec.options import changed
from sway_gguf.suite.prepare import first_spec

Word = Annotated[str, Field(min_length=1, max_length=1024)]
Words = Word | Annotated[list[Word], Field(min_length=1, max_length=64)]


class RunRequest(StrictModel):
    """Either a spec, or a base and an adapter. Paths are relative to the served folder."""

    spec: Word | None = Field(default=None, description="a sway.yaml; what it names has to lie in the folder too")
    base: Word | None = Field(default=None, description="the base GGUF")
    adapter: Word | None = Field(default=None, description="the LoRA GGUF or PEFT folder")
    data: Words | None = Field(default=None, description="what the adapter was trained on")
    holdout: Words | None = Field(default=None, description="text like it that was kept out of training")
    general: Words | None = Field(default=None, description="text that the adapter should leave alone")
    format: Word | None = Field(default=None, description=f"{', '.join(FORMATS)}, or a .jinja file in the folder")
    nulls: int | None = Field(default=None, ge=0, le=999)
    seed: int | None = Field(default=None, ge=0, le=2**53)

    @model_validator(mode="after")
    def _one_of_two(self) -> RunRequest:
        files = (self.base, self.adapter, self.data, self.holdout, self.general)
        if self.spec is not None and any(each is not None for each in files):
            raise ValueError("give spec alone, or base and adapter")
        if self.spec is None and (self.base is None or self.adapter is None):
            raise ValueError("give spec, or base and adapter")
        return self

    @property
    def name(self) -> str:
        """What is tested, in a word or two."""
        return self.spec or f"{self.adapter} on {self.base}"


def spec_of(request: RunRequest, root: Root) -> Spec:
    """The spec of a request, checked.

    Raises:
        UserError: a file that cannot be used or lies outside, or something that a request may not ask for.
    """
    if request.spec is not None:
        spec = load_spec(root.asked(request.spec))
    else:
        assert request.base is not None
        assert request.adapter is not None
        texts: dict[str, Any] = {role: _several(getattr(request, role), root) for role in TEXTS}
        spec = first_spec(root.asked(request.base), root.asked(request.adapter), **texts)
        spec = spec.model_copy(update={"suite": [entry for entry in spec.suite if entry["kind"] in KINDS]})
    chosen = request.format
    if chosen is not None and chosen not in FORMATS:
        chosen = str(root.asked(chosen))
    spec = changed(spec, {"format": chosen}, "the request")
    defaults = changed(spec.defaults, {"nulls": request.nulls, "seed": request.seed}, "the request")
    spec = spec.model_copy(update={"defaults": defaults})
    check_spec(spec, root)
    return spec


def check_spec(spec: Spec, root: Root) -> None:
    """See that a spec stays in the folder and runs nothing but ours.

    Raises:
        UserError: it does not.
    """
    models = spec.models
    for model in (models.base, models.ft):
        if model.kind != "gguf":
            raise UserError(f"models of kind {model.kind!r} run code of their own; a server runs GGUF files alone")
    for entry in spec.suite:
        kind = entry.get("kind")
        if kind not in KINDS and kind != NULL_ADAPTER:
            raise UserError(f"{str(kind)[:60]!r} is none of sway-gguf's own probes; a server runs no other")
    for named in named_in(spec):
        root.held(named.path)
    for shard in open_shards(models.base.base):
        root.held(shard.path)


def _several(given: str | list[str] | None, root: Root) -> list[Path] | None:
    if given is None:
        return None
    return [root.asked(each) for each in ([given] if isinstance(given, str) else given)]
