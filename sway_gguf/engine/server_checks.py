"""Whether a running server can answer in a model's place: is it llama-server, does it serve this base and these
adapters, can it be held to given tokens, and does the scale that a request gives change anything?

Asked once, before anything else is. Knows files' headers and a server's own words; no queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.digest import sha256_of
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.stack import Stack
from sway_gguf.core.errors import UserError
from sway_gguf.engine.http import is_here
from sway_gguf.engine.llama_server import About, LlamaServer, Scales, ServerLora
from sway_gguf.engine.reduce import NotFiniteError
from sway_gguf.engine.scoring import Tokenizer

_PROBES = ("The quick brown fox, 12 years old; jumps.", "Grüße, мир!\n\tif (x == 0) return;")
"""Of several scripts and kinds of token."""
_LOUD = (1.0, 8.0, 512.0)
"""Times the adapter's scale, at which an adapter that is applied is heard; the later ones for a light one. Numbers that
grow beyond all floats stay in a server's cache, and spoil what it is asked next."""
_HEARD = 16
"""Tokens of a distribution by which it is."""
_TIMES, _LEAST = 10.0, 1e-3
"""How many times what asking twice changes, and how many nats, a heard adapter changes: a server on a GPU or with
neighbours in its batches never says quite the same again."""
_FORCED = 3


@dataclass(frozen=True)
class Checked:
    """A server that can be asked.

    Attributes:
        about: what it says of itself.
        numbers: its numbers for the set's adapters, in their order.
        all_numbers: those of all that it has loaded.
        remarks: on what could not be made sure of.
    """

    about: About
    numbers: tuple[int, ...]
    all_numbers: tuple[int, ...]
    remarks: tuple[str, ...]


def checked(server: LlamaServer, base: BaseModel, stack: Stack, tokenizer: Tokenizer, context: int) -> Checked:
    """Ask a server all of this.

    Args:
        server: to ask.
        base: that it should serve.
        stack: adapters that it should have loaded; none for the base alone.
        tokenizer: of the base.
        context: tokens that a text may have.

    Raises:
        UserError: a "no" to any of the questions, in a line.
    """
    loaded, about = server.adapters(), server.about()
    if _is_another(server, base.path, about.model):
        raise UserError(_runs_another(server, about.model, base.path))
    numbers = tuple(_number(server, adapter, loaded) for adapter in stack.adapters)
    _each_its_own(server, stack.adapters, numbers)
    if about.context < context:
        raise UserError(
            f"{server.root}: a text may have {about.context:,} tokens there, and {context:,} are asked; give "
            f"-c {about.context}, or start it with -c {context * about.slots}"
        )
    tokens = _same_tokens(server, about, base, tokenizer)
    everything = tuple(each.number for each in loaded)
    silent = dict.fromkeys(everything, 0.0)
    with suppress(NotFiniteError):  # That numbers are none is for the run to find, and to say of which view.
        server.forced(tokens[:1], tokens[1 : 1 + _FORCED], silent)
        # What is not finite in the file is for the run to find as well, before it is in the server's cache.
        sound = all(pair.finite for adapter in stack.adapters for pair in adapter.pairs)
        updates = (adapter.update_norm(pair) for adapter in stack.adapters for pair in adapter.pairs)
        if numbers and sound and any(update > 0 for update in updates):
            _follows(server, tokens, silent, numbers)
    paths = {each.number: each.path for each in loaded}
    remarks = _remarks(server, about, base, [(a, paths[n]) for a, n in zip(stack.adapters, numbers, strict=True)])
    return Checked(about, numbers, everything, remarks)


def _number(server: LlamaServer, adapter: LoraAdapter, loaded: Sequence[ServerLora]) -> int:
    """The server's number for an adapter: that of the same file, or of the only one with its name."""
    if not adapter.in_file:
        raise UserError(f"{adapter.path}: no file that a server can load; name the LoRA GGUF that it was started with")
    same = [each.number for each in loaded if _is_file(adapter.path, each.path)]
    called = [each for each in loaded if _name(each.path) == adapter.path.name]
    named = same or [each.number for each in called if not _is_another(server, adapter.path, each.path)]
    if len(named) == 1 or same:
        return named[0]
    if called and not named:
        raise UserError(_runs_another(server, called[0].path, adapter.path))
    if not loaded:
        raise UserError(f"{server.root}: it has no adapter; start it with --lora {adapter.path}")
    has = ", ".join(each.path for each in loaded)
    why = "has several of the name" if named else f"has {has}, and not"
    raise UserError(f"{server.root}: it {why} {adapter.path.name}; start it with --lora {adapter.path}")


def _each_its_own(server: LlamaServer, adapters: Sequence[LoraAdapter], numbers: Sequence[int]) -> None:
    """Nothing, where no two files of a set are one adapter of the server: their scales would add up on it.

    Raises:
        UserError: two are.
    """
    first: dict[int, Path] = {}
    for adapter, number in zip(adapters, numbers, strict=True):
        other = first.setdefault(number, adapter.path)
        if not _is_file(other, str(adapter.path)) and sha256_of(other) != sha256_of(adapter.path):
            raise UserError(
                f"{server.root}: {other} and {adapter.path} would both be its adapter {number}; start it with both, "
                "each under a name of its own"
            )


def _same_tokens(server: LlamaServer, about: About, base: BaseModel, tokenizer: Tokenizer) -> list[int]:
    """Tokens of the first probe, where the server makes the same ones of all of them."""
    found = []
    for text in _PROBES:
        tokens = tokenizer.tokenize(text)
        own = tokens[1:] if tokenizer.bos is not None and tokens[:1] == [tokenizer.bos] else tokens
        if server.tokenize(text) != own:
            raise UserError(
                f"{server.root}: its tokens are not those of {base.path}; it serves another model, "
                f"{about.model or 'which it does not name'}"
            )
        found.append(tokens)
    return found[0]


def _follows(server: LlamaServer, tokens: Sequence[int], silent: Scales, numbers: Sequence[int]) -> None:
    """Nothing, where a request's scale changes what comes out by more than asking twice does.

    Raises:
        NotFiniteError: with or without the adapter no number comes out.
        UserError: it does not.
    """

    def told(scales: Scales) -> _Top:
        return server.pushed(tokens, tokens[-1], scales, _HEARD).top

    for times in _LOUD:
        once, loud, again = told(silent), told({**silent, **dict.fromkeys(numbers, times)}), told(silent)
        if min(_apart(loud, once), _apart(loud, again)) > max(_LEAST, _TIMES * _apart(once, again)):
            return
    raise UserError(
        f"{server.root}: the scale that a request gives to the adapter changes nothing there beyond what asking twice "
        "does, so base and tuned model cannot be told apart; a newer llama-server, started with --lora, follows it"
    )


_Top = tuple[tuple[int, float], ...]
"""The likeliest tokens with their log-probabilities."""


def _apart(one: _Top, other: _Top) -> float:
    """The greatest difference of a log-probability, nats: what only one of them names lies below all that the other
    does."""
    found = [dict(top) for top in (one, other)]
    ours, theirs = found
    differences = [abs(ours[token] - theirs[token]) for token in ours.keys() & theirs.keys()]
    for here, there in (found, found[::-1]):
        differences += [here[token] - min(there.values()) for token in here.keys() - there.keys() if there]
    return max(differences, default=0.0)


def _remarks(
    server: LlamaServer, about: About, base: BaseModel, adapters: Sequence[tuple[LoraAdapter, str]]
) -> tuple[str, ...]:
    """That the server answered, and which of its files could not be compared with those that are named here."""
    told = [f"answered by llama-server at {server.root} ({about.build or 'of an unknown build'})"]
    files = [(base.path, about.model), *((adapter.path, path) for adapter, path in adapters)]
    apart = [
        f"{path or 'a file that it does not name'} for {ours}"
        for ours, path in files
        if not _is_ours(server, ours, path)
    ]
    if apart:
        told.append(f"whether its files are those named here was checked by names and tokens alone: {'; '.join(apart)}")
    return tuple(told)


def _is_file(ours: Path, theirs: str) -> bool:
    """Whether the server's path leads to the same file here."""
    try:
        return bool(theirs) and ours.samefile(theirs)
    except OSError:
        return False


def _is_another(server: LlamaServer, ours: Path, theirs: str) -> bool:
    """Whether a server on this machine has, at a place that can be read, another file than ours."""
    return _is_ours(server, ours, theirs) is False


def _is_ours(server: LlamaServer, ours: Path, theirs: str) -> bool | None:
    """Whether a server's file is ours, or holds the same bytes; None where it cannot be seen from here."""
    there = Path(theirs)
    if _is_file(ours, theirs):
        return True
    try:
        if is_here(server.root) and there.is_absolute() and there.is_file():
            return there.stat().st_size == ours.stat().st_size and sha256_of(there) == sha256_of(ours)
    except OSError:
        pass
    return None


def _runs_another(server: LlamaServer, theirs: str, ours: Path) -> str:
    return f"{server.root}: it runs {theirs}, which is another file than {ours}; name that one, or start it with yours"


def _name(path: str) -> str:
    """The last part of a path of another machine."""
    return PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name
