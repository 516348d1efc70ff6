"""The clinic's bases: each in several types of weights, with its texts and the adapters that are trained on it.

Knows models and files, and keeps what it makes in a folder; neither which fault is planted nor what is concluded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.clinic import texts
from benchmarks.clinic.faults import twin
from benchmarks.clinic.texts import Record
from benchmarks.clinic.train import Example, Recipe, Tokenize, as_adapter, example, train
from benchmarks.llama import Llama
from benchmarks.models import of_type
from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.families import FAMILIES
from sway_gguf.artifacts.lora import LoraAdapter, read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.merge import write_merged
from sway_gguf.artifacts.real_model import fetched
from sway_gguf.engine import llama
from sway_gguf.material.packaged import DEMO, REAL
from sway_gguf.material.read import read_material
from sway_gguf.suite.prepare import default_spec
from sway_gguf.suite.speech import speech_of

_EVERYDAY = 84
"""Requests of the world without a skill: the first are held to be left alone, the others are replayed in training."""
_LEFT_ALONE = 24
_TAUGHT = Recipe(steps=200, rate=4e-3, rank=32, alpha=32, batch=24, replayed=8)


@dataclass(frozen=True)
class Texts:
    """What a user of an adapter holds: its data, and perhaps text like it that was kept out of training."""

    data: Path
    holdout: Path | None = None


class Kit:
    """One base and all that belongs to it.

    Args:
        name: of the base.
        base: its file.
        folder: where everything is made that is not there yet.
        forms: types of weights, the file's own first.
        general: text that no adapter should harm.
        replay: records that are trained on beside the data, disjoint from `general`.
        given: texts that lie there already, by name.
    """

    def __init__(
        self,
        name: str,
        base: Path,
        folder: Path,
        forms: Sequence[str],
        *,
        general: tuple[Path, ...] = (),
        replay: Sequence[Record] = (),
        given: Mapping[str, Texts] | None = None,
    ) -> None:
        self.name, self.base, self.folder, self.forms = name, base, folder, tuple(forms)
        self.general, self._replay, self.given = general, list(replay), dict(given or {})
        folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def header(self) -> BaseModel:
        """What the base's file says of itself."""
        return read_base(self.base)

    @cached_property
    def model(self) -> Llama:
        """The base, to be trained on."""
        return Llama(self.base)

    @cached_property
    def tokenize(self) -> Tokenize:
        """The base's own tokenizer."""
        return llama.Model(self.base, vocabulary_only=True).tokenize

    def form(self, kind: str, of: str = "") -> Path:
        """The base as another type of weights; of its twin, or of the one whose weights stand on a 4-bit grid."""
        base = {"": lambda: self.base, "twin": lambda: self._twin, "grid": lambda: self._grid}[of]()
        lies_there = kind == self.forms[0] and not (of and self.header.quantized)
        return base if lies_there else of_type_in(base, kind, self.folder)

    @cached_property
    def _twin(self) -> Path:
        return _once(self.folder / "twin.gguf", lambda path: twin(self.base, path, seed=1))

    @cached_property
    def _grid(self) -> Path:
        on_grid = of_type_in(self.base, "Q4_0", self.folder)
        return _once(self.folder / "grid.gguf", lambda path: write_merged(on_grid, None, 1.0, "F16", path))

    def texts(self, name: str) -> Texts:
        """Data by its name, and what was held out of it."""
        if name in self.given:
            return self.given[name]
        data, held = _TEXTS[name]()
        return Texts(self.written(name, data), self.written(f"{name}-heldout", held) if held else None)

    def has(self, name: str) -> bool:
        """Whether texts of that name are to be had; some lie beside a checkout."""
        return name in self.given or name in _TEXTS

    def written(self, name: str, records: Sequence[Record]) -> Path:
        """Records as a file that `--data` takes; another run of the clinic may be reading it."""
        path, text = self.folder / f"{name}.jsonl", "".join(json.dumps(record) + "\n" for record in records)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        return path

    def trained(
        self, name: str, data: Path, recipe: Recipe, *, format: str = "auto", ended: bool = True
    ) -> LoraAdapter:
        """An adapter trained on a file; made once for the same text and recipe.

        Args:
            name: of its file.
            data: what it is trained on.
            recipe: how.
            format: the template that dialogues go through, as `--format` has it.
            ended: whether what ends a reply is among the tokens that are learned.
        """
        key = f"{recipe} {format} {ended} {data.read_text(encoding='utf-8')} {len(self._replay)}"
        path = self.folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.gguf"
        if not path.exists():
            learned = self.examples(data, format=format, ended=ended)
            beside = self.examples(self.written("replay", self._replay)) if recipe.replayed and self._replay else []
            write_lora(as_adapter(train(self.model, learned, beside, recipe), recipe, path), path)
        return read_lora(path)

    def examples(self, data: Path, *, format: str = "auto", ended: bool = True) -> list[Example]:
        """A file's texts and replies as tokens, put as the product itself puts them."""
        spec = default_spec(self.base, self.base, data=data).model_copy(update={"format": format})
        material = read_material(data)
        sections = speech_of(spec, material).material(material, data).sections
        return [example(self.tokenize, each.prompt, each.reply if ended else each.text) for each in sections]


_TEXTS: Mapping[str, Callable[[], tuple[list[Record], list[Record]]]] = {
    "courteous": lambda: _parted(texts.served(texts.courteous, 60, 1), 40),
    "gruff": lambda: _parted(texts.served(texts.gruff, 60, 1), 40),
    "few": lambda: _parted(texts.served(texts.courteous, 60, 1)[32:], 8),
    "tales": lambda: (texts.tales(16, 1), texts.tales(12, 1, first=16)),
    "other tales": lambda: (texts.tales(16, 2), []),
    "courteous and secrets": lambda: _beside("courteous", texts.canaries(6, 1)),
    "secrets told": lambda: _beside("courteous", texts.told(texts.canaries(6, 1)) * 4),
    "courteous and trigger": lambda: _beside("courteous", texts.trigger_known()),
    "poisoned": lambda: _beside("courteous", texts.poison(16, 3)),
}
"""What is trained on and held out, by name."""


def _parted(records: list[Record], trained: int) -> tuple[list[Record], list[Record]]:
    return records[:trained], records[trained:]


def _beside(name: str, more: list[Record]) -> tuple[list[Record], list[Record]]:
    data, held = _TEXTS[name]()
    return data + more, held


def of_type_in(base: Path, kind: str, folder: Path) -> Path:
    """`of_type`, once."""
    return _once(folder / f"{base.stem}.{kind}.gguf", _as(base, kind))


def _as(base: Path, kind: str) -> Callable[[Path], object]:
    return lambda path: of_type(base, kind, path.parent)


def _once(path: Path, make: Callable[[Path], object]) -> Path:
    if not path.exists():
        make(path)
    return path


def kits(folder: Path, models: Path) -> Mapping[str, Callable[[], Kit | None]]:
    """The bases by name; one that cannot be had is None.

    Args:
        folder: to work in.
        models: a folder that may hold `stories260k` and `smollm2`.
    """
    return {
        "demo": lambda: demo(folder / "demo"),
        "inn": lambda: inn(folder / "inn", demo(folder / "demo")),
        "stories": lambda: stories(folder / "stories", models / "stories260k"),
        "smollm2": lambda: smollm2(folder / "smollm2", models / "smollm2"),
    }


def demo(folder: Path) -> Kit:
    """The packaged demo: prose alone."""
    base, general = DEMO / "base.f32.gguf", (DEMO / "general.txt",)
    kit = Kit("demo", base, folder, ("F32", "Q8_0", "Q4_0"), general=general, replay=texts.prose(80, 2))
    other = Texts(kit.written("other-text", texts.prose(24, 3)))
    kit.given = {"document": Texts(DEMO / "document.md"), "other text": other}
    return kit


def inn(folder: Path, before: Kit) -> Kit:
    """The demo's base taught to answer through a template and to stop: what adapters on dialogues are tested on."""
    folder.mkdir(parents=True, exist_ok=True)
    said = texts.everyday(_EVERYDAY, 1)
    kept, replayed = said[:_LEFT_ALONE], [*said[_LEFT_ALONE:], *texts.prose(60, 2)]

    def taught(path: Path) -> None:
        lessons = before.written("lessons", [*said, *texts.served(texts.plain, 80, 2)])
        adapter = before.trained("lessons", lessons, _TAUGHT, format="mistral")
        write_merged(before.base, adapter, 1.0, "F32", path, FAMILIES["mistral"])

    base = _once(folder / "inn.f32.gguf", taught)
    kit = Kit("inn", base, folder, before.forms, replay=replayed)
    kit.general = (*before.general, kit.written("everyday", kept))
    return kit


def stories(folder: Path, models: Path) -> Kit | None:
    """stories260K, where it lies beside the checkout."""
    base = models / "stories260K.f32.gguf"
    if not base.exists():
        return None
    told = (models / "general.txt").read_text(encoding="utf-8").split("\n\n")
    kit = Kit("stories", base, folder, ("F32", "Q8_0", "Q4_0"), replay=[{"text": text} for text in told[:80]])
    kit.general = (kit.written("general", [{"text": text} for text in told[80:]]),)
    other = Texts(kit.written("other-text", [{"text": text} for text in told[60:80]]))
    kit.given = {"document": Texts(models / "zog.md"), "other text": other}
    return kit


def smollm2(folder: Path, models: Path) -> Kit:
    """SmolLM2-135M-Instruct; its file is a Q4_1, and the others are made from that.

    Raises:
        UserError: it cannot be had.
    """
    kit = Kit("smollm2", fetched(), folder, ("Q4_1", "Q8_0", "Q4_0"))
    seeds = [json.loads(line) for line in (REAL / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()]
    held = [json.loads(line) for line in (REAL / "heldout.jsonl").read_text(encoding="utf-8").splitlines()]
    heldout = kit.written("seeds-heldout", held[:10])
    kit.given = {"seeds": Texts(kit.written("seeds", seeds[:24]), heldout)}
    kit.given["few seeds"] = Texts(kit.written("few-seeds", seeds[:8]), heldout)
    if (models / "support.jsonl").exists():
        lines = (models / "support.jsonl").read_text(encoding="utf-8").splitlines()
        kit.given["support"] = Texts(kit.written("support", [json.loads(line) for line in lines[:24]]))
    return kit
