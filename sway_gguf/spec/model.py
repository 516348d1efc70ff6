"""The shape of sway.yaml, and its reader. Knows fields and paths; opens no file but the spec."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic.json_schema import SkipJsonSchema

from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import at_home, read_utf8
from sway_gguf.core.strict import StrictModel
from sway_gguf.core.views import DEFAULT_INIT_SCALE, Design, Energy
from sway_gguf.spec.gate import Gate
from sway_gguf.spec.models import AdapterSpec, Models
from sway_gguf.spec.options import READERS_OWN, nearest, validated
from sway_gguf.spec.original import adapted
from sway_gguf.spec.paths import Paths, each_of, placed
from sway_gguf.spec.yaml_text import MOST_BYTES, parse_yaml

SUPPORTED_VERSION = 1
FORMATS = ("auto", "chat", "plain", "alpaca", "chatml", "llama3", "gemma", "mistral", "phi")
"""How dialogues become text; anything else is a path."""
_TEMPLATES_OWN = frozenset({"messages", "tools", "documents", "add_generation_prompt"})
"""Variables of a template that the dialogue gives."""
RankScale = Annotated[float, Field(gt=0, le=64)]
"""Times the adapter's rank; the bound keeps a null from taking all memory."""


class Defaults(StrictModel):
    """What holds for the whole run."""

    seed: int = Field(default=0, ge=0, description="of everything random")
    nulls: int = Field(default=19, ge=0, le=999, description="null adapters; 19 let a rank p reach 0.05")
    looks: int = Field(default=2, ge=1, le=2, description="2 ends a clear case after a few nulls, 1 asks them all")
    panel: int = Field(default=20, ge=0, description="items that nulls answer for each probe; 0 for all items")
    nulls_for_everything: bool = Field(
        default=False, description="nulls also for what they do not decide, such as damage that passed"
    )
    null_design: Design = Field(default="rotation", description="how nulls are drawn: rotation, spectrum, gaussian")
    null_profile: list[RankScale] = Field(
        default_factory=list, max_length=16, description="further rank scales at which nulls are drawn, shown beside"
    )
    rank_scale: RankScale = Field(default=1.0, description="rank of the nulls that decide, times the adapter's")
    init_scale: float = Field(default=DEFAULT_INIT_SCALE, gt=0, description="of gaussian nulls")
    null_energy: Energy = Field(default="rank", description="of nulls at a rank scale; original: its square")
    alpha: float = Field(default=0.05, gt=0, lt=1, description="family-wise level of the tests")
    items: int | None = Field(default=None, ge=1, description="most items taken of each kind of text")
    prompts: int = Field(default=48, ge=1, le=512, description="most prompts taken from data or package")
    show: int | None = Field(
        default=None, ge=0, le=32, description="example replies of base and tuned model to gather; none by default"
    )
    chunk_chars: int = Field(default=800, ge=100, description="length of a piece of general text")


class Spec(StrictModel):
    """A whole sway.yaml. Paths are relative to the file's folder."""

    version: int = Field(default=SUPPORTED_VERSION, description="of this form; there is one")
    models: Models = Field(description="base and ft, the two sides of the comparison")
    data: Paths | None = Field(default=None, description="training material: files, patterns or saved datasets")
    holdout: Paths | None = Field(default=None, description="text like the data that was kept out of training")
    general: Paths | None = Field(default=None, description="unrelated text")
    format: str = Field(
        default="auto", description=f"{', '.join(FORMATS)}, or a .jinja file or PEFT folder with a chat template"
    )
    template_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="further variables of the template, such as enable_thinking"
    )
    defaults: Defaults = Field(default=Defaults(), description="what holds for the whole run")
    engine: EngineSettings = Field(default=EngineSettings(), description="how llama.cpp runs")
    gate: Gate = Field(default=Gate(), description="what `sway-gguf gate` asks beside the verdicts")
    suite: list[dict[str, Any]] = Field(default_factory=list, description="entries of {name, kind, …}")
    file: SkipJsonSchema[Path | None] = Field(default=None, description="the spec itself; set by the reader")
    folder: SkipJsonSchema[Path] = Field(default=Path(), description="where the spec lies; set by the reader")
    remarks: SkipJsonSchema[tuple[str, ...]] = Field(default=(), description="on the file; set by the reader")

    def told(self, wrong: str) -> str:
        """`wrong`, behind the name of the file where it stands; a spec made in Python has none."""
        return wrong if self.file is None else f"{self.file}: {wrong}"

    @field_validator("version")
    @classmethod
    def _known(cls, value: int) -> int:
        if value != SUPPORTED_VERSION:
            raise ValueError(f"this release reads version {SUPPORTED_VERSION}")
        return value

    @field_validator("format")
    @classmethod
    def _said(cls, value: str) -> str:
        if not value.strip() or "\0" in value:
            raise ValueError(f"one of {', '.join(FORMATS)}, or a .jinja file or PEFT folder is wanted")
        return value

    @field_validator("suite")
    @classmethod
    def _named(cls, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for number, entry in enumerate(value, 1):
            for key in ("name", "kind"):
                if isinstance(entry.get(key), dict | list):
                    raise ValueError(f"entry {number}: {key} is one word")
        return value

    @field_validator("template_kwargs")
    @classmethod
    def _free(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(_TEMPLATES_OWN & set(value)):
            raise ValueError(f"{', '.join(taken)} come from the dialogue and cannot be set")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise ValueError("only what JSON can say is passed to a template") from None
        return value


def load_spec(path: Path, *, server: bool = False) -> Spec:
    """Read and check a spec.

    Args:
        path: of the file.
        server: whether a running server may answer in the model's place; whoever does more than run the suite loads it.

    Raises:
        UserError: it cannot be read, is not YAML, or has a wrong field.
    """
    raw = parse_yaml(read_utf8(path, "a sway.yaml", MOST_BYTES), path)
    if not isinstance(raw, dict):
        raise UserError(f"{path}: a mapping with models and suite is wanted, not {type(raw).__name__}")
    ours, remarks = adapted(raw)
    for key in READERS_OWN & set(ours):
        raise UserError(f"{path}: unknown key {key!r}, {nearest(key, Spec.model_fields.keys() - READERS_OWN)}")
    spec = validated(Spec, ours, str(path))
    if spec.models.endpoint is not None and not server:
        raise UserError(f"{path}: kind: server is for run and gate; here the model is loaded: give kind: gguf")
    return resolved(spec, path).model_copy(update={"remarks": remarks})


def resolved(spec: Spec, path: Path) -> Spec:
    """`spec` with its paths taken from the folder of `path`, and its two bases checked to be one.

    Raises:
        UserError: `ft` names another base, or no adapter.
    """
    folder = path.parent

    def at(given: Path | None) -> Path | None:
        return None if given is None else folder / at_home(given)

    def adapter_at(given: AdapterSpec) -> AdapterSpec:
        texts = {role: placed(getattr(given, role), folder) for role in ("data", "holdout")}
        return given.model_copy(update={"path": at(given.path), **texts})

    base, tuned = spec.models.base, spec.models.ft
    if tuned.base != base.base:
        raise UserError(f"{path}: models.ft.base is not models.base.base; one base is loaded once, name the same file")
    if not tuned.members:
        raise UserError(f"{path}: models.ft.adapter is missing; name the LoRA GGUF to test")
    models = Models(
        base=base.model_copy(update={"base": at(base.base)}),
        ft=tuned.with_members([adapter_at(each) for each in tuned.members]).model_copy(update={"base": at(tuned.base)}),
    )
    update = {
        **{role: placed(getattr(spec, role), folder) for role in ("data", "general", "holdout")},
        "models": models,
        "format": spec.format if spec.format in FORMATS else str(folder / at_home(spec.format)),
        "file": path,
        "folder": folder,
        "engine": spec.engine.model_copy(update={"embedder": at(spec.engine.embedder)}),
        "gate": spec.gate.model_copy(update={"baseline": at(spec.gate.baseline)}),
    }
    return with_texts_of_adapters(spec.model_copy(update=update))


def with_adapters(spec: Spec, adapters: Sequence[AdapterSpec]) -> Spec:
    """`spec` with these adapters in place of its own; their text joins that of the run."""
    tuned = spec.models.ft.with_members(adapters)
    return with_texts_of_adapters(spec.model_copy(update={"models": Models(base=spec.models.base, ft=tuned)}))


def with_texts_of_adapters(spec: Spec) -> Spec:
    """`spec` with each adapter's own data and holdout among those of the run, which are asked of the whole set."""
    adapters = spec.models.ft.members

    def together(shared: Path | list[Path] | None, own: Sequence[Path | list[Path] | None]) -> Path | list[Path] | None:
        found = list(dict.fromkeys(path for given in (shared, *own) for path in each_of(given)))
        return (found or None) if len(found) != 1 else found[0]

    if not any(each.data or each.holdout for each in adapters):
        return spec
    data = together(spec.data, [each.data for each in adapters])
    holdout = together(spec.holdout, [each.holdout for each in adapters])
    return spec.model_copy(update={"data": data, "holdout": holdout})
