"""Which tokens of a base's vocabulary say what: from bytes back to ids. Knows how GGUF spells them; no engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from sway_gguf.artifacts.gguf_file import GGUFFile

_BOUNDARY = "▁"
"""How SentencePiece spells a space."""
_BYTE_LENGTH = len("<0x00>")


class Pieces:
    """A vocabulary's tokens by what they say.

    Args:
        path: the base GGUF.

    Raises:
        UserError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        file = GGUFFile(path)
        tokens = file.get("tokenizer.ggml.tokens")
        spell = _of_bytes if file.get("tokenizer.ggml.model") == "gpt2" else _of_sentencepiece
        self._said = [spell(token) for token in tokens] if isinstance(tokens, list) else []
        self._ids: dict[bytes, list[int]] = {}
        for number, said in enumerate(self._said):
            self._ids.setdefault(said, []).append(number)

    def __len__(self) -> int:
        return len(self._said)

    def said(self, token: int) -> bytes:
        """What a token says; b"" for none of the vocabulary."""
        return self._said[token] if 0 <= token < len(self._said) else b""

    def ids(self, said: bytes) -> tuple[int, ...]:
        """The tokens that say exactly this, or, where none does, with a space before it: some servers cut it off."""
        return tuple(self._ids.get(said) or self._ids.get(b" " + said) or ())


def _of_bytes(token: object) -> bytes:
    """A token of byte-level BPE, each of whose characters stands for a byte; a control token is spelled as it is."""
    text, bytes_of = str(token), _byte_of()
    try:
        return bytes(bytes_of[character] for character in text)
    except KeyError:
        return text.encode("utf-8", "surrogatepass")


def _of_sentencepiece(token: object) -> bytes:
    text = str(token)
    if len(text) == _BYTE_LENGTH and text.startswith("<0x") and text.endswith(">"):
        try:
            return bytes([int(text[3:5], 16)])
        except ValueError:
            pass
    return text.replace(_BOUNDARY, " ").encode("utf-8", "surrogatepass")


@cache
def _byte_of() -> Mapping[str, int]:
    """GPT-2's table: printable bytes stand for themselves, the others for the characters from 256 on, in order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}
