"""Where commands save: what an output may replace, found out before the work, and results that are never lost after it.

Knows files by what they hold and who they are; not how a result is made.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sway_gguf.cli.held import Holds, held_by
from sway_gguf.cli.output import OutputError, ReaderGoneError, drawing, say, say_json
from sway_gguf.core.errors import UserError

if TYPE_CHECKING:
    from sway_gguf.core.trace import BatchTime
    from sway_gguf.report.console import PlainConsole

Writes = Literal["result", "model", "suite", "items"]
_FREELY: dict[Writes, set[Holds]] = {
    "result": {"nothing", "result"},
    "model": {"nothing"},
    "suite": set(),
    "items": set(),
}
_BY_FORCE: dict[Writes, set[Holds]] = {
    "result": {"other"},
    "model": {"nothing", "model", "result", "other"},
    "suite": {"nothing", "suite", "result", "other"},
    "items": {"nothing", "result", "other"},
}
_WORDS: dict[Holds, str] = {
    "nothing": "an empty file",
    "result": "a result",
    "model": "a GGUF file",
    "suite": "a spec",
    "other": "a file that is no result of ours",
}
STDOUT = "-"
_UNNAMED = Path("sway-gguf-result.json")


@dataclass(frozen=True)
class Output:
    """One thing that a command writes.

    Attributes:
        path: where to; "-" is stdout, for results alone.
        option: that named it.
        writes: what is written, which says what it may replace.
        inputs: files and folders of the command, none of which may be replaced.
        force: whether the user said --force.
        proposes_force: whether a refusal may propose it.
    """

    path: str | Path
    option: str
    writes: Writes
    inputs: Sequence[Path] = ()
    force: bool = False
    proposes_force: bool = True

    @property
    def to_stdout(self) -> bool:
        """Whether it goes to stdout."""
        return self.path == STDOUT

    def check(self) -> None:
        """Find out whether it can be written and may replace what is there.

        Raises:
            UserError: not so.
        """
        if self.to_stdout:
            return
        if not str(self.path):
            raise UserError(f'{self.option} "": no name; give a file name{self._or_stdout()}')
        path = Path(self.path)
        if path.is_dir():
            raise UserError(f"{path}: this is a directory; give a file name to {self.option}")
        check_folder(path)
        if not path.exists():
            return
        if not path.is_file():
            raise UserError(f"{path}: no regular file; give {self.option} a file name{self._or_stdout()}")
        for given in self.inputs:
            if _is_or_holds(given, path):
                raise UserError(f"{path}: an input of this command ({given}); give {self.option} another name")
        self._check_content(path)

    def _check_content(self, path: Path) -> None:
        there = held_by(path)
        allowed = _FREELY[self.writes] | (_BY_FORCE[self.writes] if self.force else set())
        if there in allowed:
            return
        if there in _BY_FORCE[self.writes] and self.proposes_force:
            raise UserError(f"{path}: {_WORDS[there]} is there already; choose another name or add --force")
        raise UserError(f"{path}: {_WORDS[there]} is there already; give {self.option} another name")

    def _or_stdout(self) -> str:
        return ", or - for stdout" if self.option == "--json" else ""

    def save(self, text: str) -> None:
        """Write `text` whole; where that fails, under another name.

        Raises:
            UserError: it could not be written where it should be; says where it is.
        """
        try:
            if self.to_stdout:
                (say_json if self.option == "--json" else partial(say, end=""))(text)
                return
            self.check()
            write_whole(Path(self.path), text)
        except UserError as error:
            name = "sway-gguf-result.json" if self.to_stdout else Path(self.path).name
            raise UserError(f"{error}; {rescued(text, Path(self.path).absolute().parent / name)}") from error


def check_folder(path: Path) -> None:
    """See whether a file could be put where `path`, followed where it is a link, is.

    Raises:
        UserError: its folder is not there or cannot be written.
    """
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{path}: the folder {folder} cannot be written; make it or choose another path")


def check_outputs(outputs: Sequence[Output]) -> None:
    """Check all outputs of one command.

    Raises:
        UserError: one cannot be written, or two are one file.
    """
    for output in outputs:
        output.check()
    places = [os.path.realpath(output.path) for output in outputs if not output.to_stdout]
    if len(set(places)) < len(places):
        raise UserError(f"{outputs[-1].path}: two outputs in one file; give each a name of its own")


def deliver(
    outputs: Sequence[tuple[Output, Callable[[], str]]],
    draw: Callable[[PlainConsole], None],
    record: Callable[[], str],
) -> None:
    """Save a result where it is wanted and draw it, unless stdout is one of the places.

    Args:
        outputs: and the text of each.
        draw: the report.
        record: the whole result as JSON, kept where neither a file nor the report could be written.

    Raises:
        UserError: something could not be written; by then it was printed and saved elsewhere.
    """
    failures: list[UserError] = []
    try:
        for output, text in outputs:
            try:
                output.save(text())
            except UserError as error:
                failures.append(error)
    finally:
        if not any(output.to_stdout for output, _ in outputs):
            try:
                with drawing() as console:
                    draw(console)
            except ReaderGoneError:
                if not failures:
                    raise
            except OutputError as error:
                saved = len(outputs) > len(failures)
                failures.append(error if saved else UserError(f"{error}; {rescued(record(), _UNNAMED)}"))
    if failures:
        raise UserError("; ".join(dict.fromkeys(map(str, failures))))


def rescued(text: str, wanted: Path) -> str:
    """Save under a free name beside `wanted`, in the current folder or in the system's; says where it is."""
    for folder in dict.fromkeys((wanted.parent.absolute(), Path.cwd(), Path(tempfile.gettempdir()))):
        for number in range(1, 100):
            other = folder / f"{wanted.stem}.saved-{number}{wanted.suffix}"
            if not os.path.lexists(other):
                with suppress(UserError):
                    write_whole(other, text)
                    return f"the result was saved as {other}"
                break
    return "the result could not be saved anywhere"


def write_whole(path: Path, text: str, others: Iterable[tuple[Path, str]] = ()) -> None:
    """Write a file, and others with it: whole, and all of them or none.

    Raises:
        UserError: the folder cannot be written.
    """
    from sway_gguf.artifacts.whole import whole

    try:
        with ExitStack() as made:  # which ends with the first: until then it is not there
            for place, words in ((path, text), *others):
                made.enter_context(whole(place)).write_text(words, encoding="utf-8", newline="\n")
    except (OSError, UnicodeEncodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.reason
        raise UserError(f"{path}: cannot be written ({reason or error}); choose another place") from error


@contextmanager
def tracing(path: Path | None, wanted: Callable[[Callable[[BatchTime], None]], None]) -> Iterator[None]:
    """Write the time of each batch to `path` at once, so that a run that ends early leaves what was measured.

    Args:
        path: None for nowhere.
        wanted: takes what is to be called with each batch.
    """
    if path is None:
        yield
        return
    with path.open("w", encoding="utf-8", newline="\n", buffering=1) as file:
        wanted(lambda batch: print(f"{batch.line()}\n", end="", file=file))
        yield


def _is_or_holds(given: Path, path: Path) -> bool:
    """Whether `path` is the input `given`, under whatever name, or one of the files of that folder."""
    files: Iterable[Path] = [given]
    if given.is_dir():
        files = (each for each in given.iterdir() if each.is_file())
    with suppress(OSError):
        return any(os.path.samefile(each, path) for each in files)
    return False
