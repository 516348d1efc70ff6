"""A run in one archive: its spec, text and result, with the models by digest; and the run again from what was unpacked.

Knows what of a run goes into an archive; not how one is read, and not how a run goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.digest import sha256_of, sha256_of_all, size_of
from sway_gguf.artifacts.template_files import template_file
from sway_gguf.core.errors import UserError
from sway_gguf.core.listing import listed
from sway_gguf.core.names import folded, unfit
from sway_gguf.core.result import SuiteResult
from sway_gguf.deploy.archive import RESULT, SPEC, Manifest, Model, write_archive
from sway_gguf.material.files import data_files
from sway_gguf.spec.model import FORMATS, Spec, load_spec
from sway_gguf.spec.models import Models, ModelSpec
from sway_gguf.spec.named import TEXTS, Place, named_in
from sway_gguf.spec.settings import with_settings
from sway_gguf.spec.write import spec_record, spec_text


@dataclass
class Members:
    """What goes into an archive, by name; names are fit for every system and differ in more than case."""

    files: dict[str, Path | bytes] = field(default_factory=dict)

    def add(self, room: str, path: Path) -> str:
        """The name of a file, or of a folder whose own files are taken.

        Raises:
            UserError: nothing is there, or a file of the folder has a name that some system does not allow.
        """
        name = self._free(room, path.name)
        if not path.is_dir():
            if not path.is_file():
                raise UserError(f"{path}: no file or folder; the spec names it, so it must be there to be packed")
            self.files[name] = path
            return name
        for part in sorted(path.iterdir()):
            if part.is_file():
                if why := unfit(f"{name}/{part.name}"):
                    raise UserError(f"{part}: {why}; rename it before it is packed")
                self.files[f"{name}/{part.name}"] = part
        return name

    def _free(self, room: str, name: str) -> str:
        if unfit(name):
            name = f"file{Path(name).suffix if not unfit('file' + Path(name).suffix) else ''}"
        taken = {"/".join(folded(each).split("/")[:2]) for each in self.files}
        options = (f"{room}/{lead}{name}" for lead in ("", *(f"{n}-" for n in range(2, len(taken) + 3))))
        return next(each for each in options if folded(each) not in taken)


def pack(spec: Spec, result: SuiteResult, record: bytes, target: Path, *, with_adapter: bool = False) -> int:
    """Write the archive of a run; the number of its members.

    Args:
        spec: of the run.
        result: of it, and `record` its result.json as it is.
        target: to write to.
        with_adapter: whether the adapter goes along.

    Raises:
        UserError: the result is of other files than the spec names, or one of them cannot be packed.
    """
    adapter, template = _checked(spec, result), _template(spec, result)
    ran = with_settings(spec, _settings(result), "the result")
    members, written = Members(), spec_record(ran)
    for role in TEXTS:
        names = [members.add(role, path) for path in data_files(getattr(spec, role))]
        written[role] = names[0] if len(names) == 1 else names or None
    if template is not None:
        written["format"] = members.add("format", template)
    if spec.gate.baseline:
        written["gate"]["baseline"] = members.add("baseline", spec.gate.baseline)
    for each in named_in(ran):
        if each.role == "suite" and each.sure:
            _put(written["suite"], each.place, members.add("suite", each.path))
    models = {
        each.role: Model(name=Path(each.path).name, size=each.size, sha256=each.sha256)
        for each in result.files
        if each.role in ("base", "adapter")
    }
    base = models["base"].name
    named_adapter = members.add("adapter", adapter) if with_adapter else models["adapter"].name
    written["models"]["base"]["base"] = written["models"]["ft"]["base"] = base
    written["models"]["ft"]["adapter"] = named_adapter
    if embedder := spec.engine.embedder:
        models["embedder"] = Model(name=embedder.name, size=size_of(embedder), sha256=sha256_of(embedder))
        written["engine"]["embedder"] = embedder.name
    whole = {SPEC: spec_text(written).encode(), RESULT: record, **members.files}
    write_archive(target, whole, models)
    return len(whole) + 1


def _checked(spec: Spec, result: SuiteResult) -> Path:
    """The adapter's file or folder, once every file of the result is found to be the spec's.

    Raises:
        UserError: one is not.
    """
    base = read_base(spec.models.base.base)
    assert spec.models.ft.adapter is not None  # the spec's reader saw to it
    adapter = read_adapter(spec.models.ft.adapter, base).path
    found: dict[str, Sequence[Path]] = {"base": base.shards, "adapter": [adapter]}
    found |= {role: files for role in TEXTS if (files := data_files(getattr(spec, role)))}
    recorded = {record.role: record for record in result.files if record.role != "template"}
    for role in dict.fromkeys([*found, *recorded]):
        paths, record = found.get(role), recorded.get(role)
        if paths is None or record is None or sha256_of_all(paths) != record.sha256:
            name = paths[0] if paths else "the spec names none"
            raise UserError(f"{role}: the result is of another file than this spec's ({name}); run the spec again")
    return adapter


def _settings(result: SuiteResult) -> Mapping[str, Any]:
    """What the run was asked for: the command line may have said it in place of the spec."""
    nulls = result.nulls
    of_its_nulls = {
        "seed": result.seed, "alpha": result.alpha, "looks": 2 if nulls.look else 1,
        "nulls": nulls.planned or nulls.count,  # A run that ended early would not end so with fewer to go.
        "null_design": nulls.design, "rank_scale": nulls.rank_scale, "init_scale": nulls.init_scale,
        "null_energy": nulls.energy,
    }  # fmt: skip
    return result.settings or {"defaults": of_its_nulls}


def _template(spec: Spec, result: SuiteResult) -> Path | None:
    """The file of the template that the run spoke in, be it the spec's or the command line's; None for a known format.

    Raises:
        UserError: it is not there any more, or another one.
    """
    own = None if spec.format in FORMATS else template_file(Path(spec.format))
    record = next((record for record in result.files if record.role == "template"), None)
    if record is None:
        return None if result.settings else own
    for file in (own, Path(record.path)):
        if file is not None and file.is_file() and sha256_of(file) == record.sha256:
            return file
    raise UserError(f"template: that of the result, {record.path}, is not there any more; run the spec again")


def _put(suite: Any, place: Place, word: str) -> None:
    """`word` in place of the one that stands at `place`."""
    *above, last = place
    for key in above:
        suite = suite[key]
    suite[last] = word


def check_given(models: Mapping[str, Path | None], manifest: Manifest) -> None:
    """Models that were given again, by role; None for one that was not.

    Raises:
        UserError: some are missing, all of which are named, or one is another than the run's.
    """
    lacking = [
        (role, manifest.models[role]) for role, path in models.items() if path is None and role in manifest.models
    ]
    if len(lacking) > 1:
        wanted = " ".join(f"--{role} {model.name} (sha256 {model.sha256[:12]})" for role, model in lacking)
        raise UserError(f"{listed([f'the {role}' for role, _ in lacking])} are not in the archive; give {wanted}")
    for role, path in models.items():
        check_model(role, path, manifest)


def check_model(role: str, path: Path | None, manifest: Manifest) -> Path:
    """A model that was given again.

    Raises:
        UserError: it is missing, or another one than the run's.
    """
    wanted = manifest.models.get(role)
    if wanted is None:
        raise UserError(f"the archive names no {role}; get it again, or leave out --{role}")
    if path is None:
        raise UserError(f"the {role} is not in the archive; give --{role} {wanted.name} (sha256 {wanted.sha256[:12]})")
    if role == "base":
        digest = sha256_of_all(read_base(path).shards)
    elif path.exists():
        digest = sha256_of(path)
    else:
        raise UserError(f"{path}: no such file or folder; check --{role}")
    if digest != wanted.sha256:
        raise UserError(
            f"{path}: not the {role} of this run (sha256 {digest[:12]}, wanted {wanted.sha256[:12]}, {wanted.name})"
        )
    return path


def holds_adapter(manifest: Manifest) -> bool:
    """Whether the adapter went along."""
    return any(name.startswith("adapter/") for name in manifest.members)


def unpacked_spec(folder: Path, manifest: Manifest, base: Path, adapter: Path | None, embedder: Path | None) -> Spec:
    """The spec that was unpacked into `folder`, with the models that were given and checked.

    Raises:
        UserError: it names a file that was not in the archive, or an adapter in it is not the run's.
    """
    spec = load_spec(folder / SPEC)
    given = {"base", "embedder"} if adapter is None else {"base", "embedder", "adapter"}
    members = {folder.joinpath(*name.split("/")) for name in manifest.members}
    inside = members | {parent for member in members for parent in member.parents if folder in parent.parents}
    for each in named_in(spec):
        if each.sure and each.role not in given and each.path not in inside:
            raise UserError(f"{folder / SPEC}: {each.path} was not in the archive; get it again")
    if adapter is None:
        adapter = check_model("adapter", spec.models.ft.adapter, manifest)
    models = Models(base=ModelSpec(base=base), ft=ModelSpec(base=base, adapter=adapter))
    engine = spec.engine.model_copy(update={"embedder": embedder})
    return spec.model_copy(update={"models": models, "engine": engine})
