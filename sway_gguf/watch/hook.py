"""The command that `--on-fail` names: split into words once and run without a shell. Knows words and processes."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping

from sway_gguf.core.errors import UserError


class Hook:
    """A command with places such as {result}, each a word of its own.

    Args:
        command: as the user wrote it.

    Raises:
        UserError: it cannot be split into words, or names no command.
    """

    def __init__(self, command: str) -> None:
        try:
            self._words = words_of(command, escape="" if os.name == "nt" else "\\")
        except ValueError as error:
            raise UserError(f"--on-fail {command!r}: {error}; check the quotes") from None
        if not self._words:
            raise UserError('--on-fail "": no command')

    def run(self, values: Mapping[str, str]) -> str:
        """Run it with `values` in their places and in the environment; what went wrong, in a line, or "".

        A value is one word, whatever it holds: nothing splits or expands it.
        """
        places = {f"{{{name}}}": value for name, value in values.items()}
        words = [places.get(word, word) for word in self._words]
        more = {f"SWAY_GGUF_{name.upper()}": value for name, value in values.items()}
        try:
            done = subprocess.run(words, env=os.environ | more, stdin=subprocess.DEVNULL, check=False)
        except (OSError, ValueError) as error:
            return f"--on-fail: {words[0]} cannot be run ({getattr(error, 'strerror', None) or error})"
        return f"--on-fail: {words[0]} ended with code {done.returncode}" if done.returncode else ""


def words_of(command: str, escape: str) -> list[str]:
    r"""A command's words without their quotes. On Windows no character escapes: a path there is written with \.

    Raises:
        ValueError: a quote is not closed.
    """
    words = shlex.shlex(command, posix=True, punctuation_chars=False)
    words.whitespace_split, words.commenters, words.escape = True, "", escape
    return list(words)
