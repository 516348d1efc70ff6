"""The shape of sway.yaml, and its reader. Knows fields and paths; opens no file but the spec."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from sway_gguf.core.endpoint import Endpoint
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import at_home, read_utf8
from sway_gguf.core.loras import Lora, Loras
from sway_gguf.core.strict import StrictModel
from sway_gguf.core.views import DEFAULT_INIT_SCALE, Design, Energy
from sway_gguf.spec.gate import Gate
from sway_gguf.spec.options import READERS_OWN, nearest, validated
from sway_gguf.spec.original import adapted
from sway_gguf.spec.yaml_text import MOST_BYTES, parse_yaml

SUPPORTED_VERSION = 1
FORMATS = ("auto", "chat", "plain", "alpaca", "chatml", "llama3", "gemma", "mistral", "phi")
"""How dialogues become text; anything else is a path."""
_TEMPLATES_OWN = frozenset({"messages", "tools", "documents", "add_generation_prompt"})
"""Variables of a template that the dialogue gives."""
MOST_ADAPTERS = 16
"""Of a set. Each is a view of its own, and takes memory."""
RankScale = Annotated[float, Field(gt=0, le=64)]
"""Times the adapter's rank; the bound keeps a null from taking all memory."""


def _one_or_several(value: Any) -> Any:
    several = isinstance(value, list) and value
    if not all(isinstance(each, str | Path) for each in (value if several else [value])):
        raise ValueError("a path, or a list of paths, is wanted")
    return value


Paths = Annotated[Path | list[Path], BeforeValidator(_one_or_several)]
"""A file, a pattern such as data/*.jsonl, a folder that `datasets` saved, or several of these."""


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
    folder: SkipJsonSchema[Path] = Field(default=Path(), description="where the spec lies; set by the reader")
    remarks: SkipJsonSchema[tuple[str, ...]] = Field(default=(), description="on the file; set by the reader")

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


def placed(given: Path | list[Path] | None, folder: Path) -> Path | list[Path] | None:
    """Paths as they are found from a folder; None stays."""
    if isinstance(given, list):
        return [folder / at_home(each) for each in given]
    return None if given is None else folder / at_home(given)


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
        paths = [p for given in (shared, *own) if given for p in (given if isinstance(given, list) else [given])]
        found = list(dict.fromkeys(paths))
        return (found or None) if len(found) != 1 else found[0]

    if not any(each.data or each.holdout for each in adapters):
        return spec
    data = together(spec.data, [each.data for each in adapters])
    holdout = together(spec.holdout, [each.holdout for each in adapters])
    return spec.model_copy(update={"data": data, "holdout": holdout})
