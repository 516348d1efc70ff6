"""Regular expressions from a PEFT folder, matched against module names in a bounded time.

A pattern is the folder's, so it may backtrack for ages (`(a+)+!`); Python's own matcher cannot be stopped. It therefore
runs in a process of its own, which is ended when its time is up. Knows peft's ways to match; not what a match means.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Literal

from sway_gguf.core.errors import UserError

_SECONDS = 20
"""For all patterns over all modules, the start of Python included; honest ones take a tenth of a second."""

_CHILD = """
import json, re, sys
asked = json.load(sys.stdin)
compiled = []
for pattern in asked["patterns"]:
    try:
        compiled.append(re.compile(asked["form"].replace("PATTERN", pattern)))
    except (re.error, OverflowError, RecursionError, MemoryError) as error:
        print(json.dumps({"broken": pattern, "why": str(error)}))
        sys.exit()
first = [next((i for i, one in enumerate(compiled) if one.match(name)), None) for name in asked["names"]]
print(json.dumps({"first": first}))
"""

_FORMS = {"end": r"(.*\.)?(PATTERN)$", "whole": r"(?:PATTERN)\Z"}
Form = Literal["end", "whole"]


def first_matches(patterns: Sequence[str], names: Sequence[str], form: Form, where: str) -> list[int | None]:
    """For each name the place of the first pattern that matches it, or None.

    Args:
        patterns: regular expressions in Python's syntax.
        names: of modules, such as "model.layers.0.self_attn.q_proj".
        form: `end`, as peft looks up alpha_pattern: the end of the name from a dot on; `whole`, as it looks up
            target_modules given as one text: all of it.
        where: file and field, for errors.

    Raises:
        UserError: a pattern is no regular expression, or matching takes too long.
    """
    if not patterns:
        return [None] * len(names)
    asked = json.dumps({"patterns": list(patterns), "names": list(names), "form": _FORMS[form]})
    command = [sys.executable, "-I", "-c", _CHILD]
    try:
        done = subprocess.run(command, input=asked.encode(), capture_output=True, timeout=_SECONDS, check=True)
    except subprocess.TimeoutExpired:
        raise UserError(
            f"{where}: matching its patterns takes more than {_SECONDS} s; write them without nested repetitions"
        ) from None
    except subprocess.CalledProcessError as error:
        raise UserError(
            f"{where}: its patterns cannot be matched (Python ended with {error.returncode}); simplify them"
        ) from error
    found = json.loads(done.stdout)
    if "broken" in found:
        raise UserError(
            f"{where}: {found['broken']!r} is no regular expression ({found['why']}); mend it in the folder's config"
        )
    first: list[int | None] = found["first"]
    return first
