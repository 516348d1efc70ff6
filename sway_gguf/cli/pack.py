"""`sway-gguf pack` and `unpack`: a run in one archive, and that run again elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sway_gguf.cli.common import FILE
from sway_gguf.cli.output import say
from sway_gguf.cli.saving import Output, check_folder
from sway_gguf.core.errors import UserError

if TYPE_CHECKING:
    from sway_gguf.deploy.archive import Manifest
    from sway_gguf.deploy.reproduce import Difference


@click.command(
    epilog="Example:  sway-gguf pack sway.yaml result.json -o run.sway.zip",
)
@click.argument("spec_path", metavar="SWAY.YAML", type=FILE)
@click.argument("result_path", metavar="RESULT.JSON", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Where to write the archive.")
@click.option("--with-adapter", is_flag=True, help="Put the adapter in as well.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def pack(spec_path: Path, result_path: Path, output: Path, with_adapter: bool, force: bool) -> None:
    """Write the spec, its text files and the result of its run to a zip. It holds your data in full.

    Base and adapter are named by their sha256 and have to be given again to `unpack --verify`.
    """
    from sway_gguf.artifacts.whole import whole
    from sway_gguf.cli.inputs import inputs_of
    from sway_gguf.core.inputs import read_bytes
    from sway_gguf.core.result_json import from_json
    from sway_gguf.deploy.pack import pack as packed
    from sway_gguf.report.numbers import size
    from sway_gguf.spec.model import load_spec

    spec = load_spec(spec_path)
    if spec.models.ft.adapter is None:
        raise UserError(
            f"{spec_path}: a set of adapters is not packed; pack a run on its merged file, or of each adapter alone"
        )
    Output(output, "-o", "model", [spec_path, result_path, *inputs_of(spec)], force).check()
    record = read_bytes(result_path, "a result.json")
    try:
        result = from_json(record.decode("utf-8-sig"), str(result_path))
    except UnicodeDecodeError:
        raise UserError(f"{result_path}: not UTF-8 text; give a result.json") from None
    with whole(output) as partial:
        count = packed(spec, result, record, partial, with_adapter=with_adapter)
    say(f"{output}: {count} members, {size(output.stat().st_size)}; verdict {result.diagnosis}")


@click.command(
    epilog="Example:  sway-gguf unpack run.sway.zip -o again/",
)
@click.argument("path", metavar="RUN.SWAY.ZIP", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="A new folder to unpack into.")
@click.option("--verify", is_flag=True, help="Run it again, and exit 1 where it comes out otherwise.")
@click.option("--base", type=FILE, help="The base that the run had; with --verify.")
@click.option("--adapter", type=FILE, help="The adapter that the run had, where the archive does not hold it.")
@click.option("--embedder", type=FILE, help="The embedding model that the run had, if it had one.")
def unpack(
    path: Path, output: Path, verify: bool, base: Path | None, adapter: Path | None, embedder: Path | None
) -> None:
    """Unpack what `pack` wrote; every digest is checked.

    With --verify the run is repeated. A probe agrees where its items and verdict are the same and its value differs by
    no more than the noise floor.
    """
    from sway_gguf.deploy.archive import opened
    from sway_gguf.deploy.pack import check_given, holds_adapter

    given = {"base": base, "adapter": adapter, "embedder": embedder}
    if not verify and (unfit := [role for role, model in given.items() if model]):
        raise click.UsageError(f"--{unfit[0]} goes with --verify")
    check_folder(output)
    with opened(path) as archive:
        manifest = archive.manifest
        if verify:
            needed = {"base", *(() if holds_adapter(manifest) else ("adapter",)), *({"embedder"} & {*manifest.models})}
            check_given({role: model for role, model in given.items() if model or role in needed}, manifest)
        archive.extract(output)
    say(f"{output}: {len(manifest.members)} files, each as the manifest says")
    if verify:
        assert base is not None  # it was checked
        _verify(output, manifest, base, adapter, embedder)


def _verify(folder: Path, manifest: Manifest, base: Path, adapter: Path | None, embedder: Path | None) -> None:
    from sway_gguf.cli.running import run_with_progress
    from sway_gguf.core.result_json import read_result
    from sway_gguf.deploy.archive import RESULT
    from sway_gguf.deploy.pack import unpacked_spec
    from sway_gguf.deploy.reproduce import differences
    from sway_gguf.suite.prepare import prepare

    expected = read_result(folder / RESULT)
    found = run_with_progress(prepare(unpacked_spec(folder, manifest, base, adapter, embedder)))
    told = differences(expected, found)
    for each in told:
        say(_line(each))
    if told:
        say(f"not reproduced: {len(told)} differences")
        raise click.exceptions.Exit(1)
    say(f"reproduced: {found.diagnosis}, every probe ({len(found.probes)}) within the noise floor")


def _line(difference: Difference) -> str:
    from sway_gguf.report.numbers import number

    def shown(value: str | float | None) -> str:
        return value if isinstance(value, str) else number(value, digits=6)

    floor = "" if difference.floor is None else f", noise floor {number(difference.floor)}"
    sides = f"expected {shown(difference.expected)}, found {shown(difference.found)}"
    return f"{difference.name}: {difference.what} differs: {sides}{floor}"
