"""What stands where a GGUF was wanted, and the way to one: weights and folders as peft and transformers leave them.

Knows names of files alone; opens none.
"""

from __future__ import annotations

import re
from os.path import exists, isdir, isfile
from pathlib import Path

_ADAPTER, _MODEL = "adapter_config.json", "config.json"
_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth"}
_SCALED = re.compile(r"(?P<file>.+):[0-9.]+")


def misgiven(path: Path) -> str:
    """What is wrong with it and how to mend it, or "" where nothing better is known than that it is no GGUF."""
    if isdir(path):
        if isfile(path / _ADAPTER):
            return "the folder of an adapter, where a GGUF file is wanted: a base, or an adapter by `sway-gguf convert`"
        return _OF_A_MODEL if isfile(path / _MODEL) else ""
    if path.suffix.lower() in _WEIGHTS and isfile(path):
        if isfile(path.parent / _ADAPTER):
            return f"weights of an adapter alone; give the folder, {path.parent}"
        return _OF_A_MODEL if isfile(path.parent / _MODEL) else ""
    scaled = _SCALED.fullmatch(str(path))
    if scaled and not exists(path) and exists(scaled["file"]):
        return f"no such file; an adapter at a scale is given by --lora-scaled {path}"
    return ""


_OF_A_MODEL = "a model as transformers keeps it; make a GGUF of its folder by llama.cpp's convert_hf_to_gguf.py"
