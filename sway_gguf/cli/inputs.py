"""Which files and folders a command reads, none of which it may replace. Opens no file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sway_gguf.material.files import Files
    from sway_gguf.spec.model import Spec


def inputs_of(spec: Spec) -> list[Path]:
    """Files and folders that a spec names, those in its suite's entries among them.

    Raises:
        UserError: as `text_inputs`.
    """
    from sway_gguf.spec.named import TEXTS, named_in

    others = [each.path for each in named_in(spec) if each.role not in TEXTS]
    return [*others, *text_inputs(spec.data, spec.holdout, spec.general)]


def text_inputs(*given: Files) -> list[Path]:
    """Files of the user's text, and the folders that hold them where folders were named.

    Raises:
        UserError: a pattern that nothing matches, or a folder that is no saved dataset.
    """
    from sway_gguf.material.files import data_files, named

    return [path for each in given for path in (*named(each), *data_files(each))]
