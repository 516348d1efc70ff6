"""Whether two base files hold one model in two types of weights, by what no quantizing changes.

Knows tensors that are vectors: norms and biases, which every quantizer leaves in floats. A model that was trained on
has other ones, unless an adapter was merged into it, and such a one loses about as much by quantizing.
"""

from __future__ import annotations

import hashlib

import numpy as np
from gguf.constants import GGMLQuantizationType
from gguf.quants import quantize

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.grid import FLOATS
from sway_gguf.artifacts.lora import Matrix

_OF_THE_CONVERTER = "rope_"
"""What is computed from the metadata; some releases of the converter write it, others do not."""


def vectors_digest(base: BaseModel) -> str:
    """sha256 of the names and numbers of all vectors, in hexadecimal; "" for a base without any.

    One model has one digest with its vectors in F32 and in F16, and in BF16 as well where it was trained in that, as
    most are: numbers count as far as each of the three tells them apart.
    """
    found = {
        name: file.read(name)
        for file in map(GGUFFile, base.shards or (base.path,))
        for name, tensor in file.tensors.items()
        if len(tensor.shape) == 1 and tensor.type in FLOATS and not name.startswith(_OF_THE_CONVERTER)
    }
    digest = hashlib.sha256()
    for name, numbers in sorted(found.items()):
        digest.update(f"{name} {numbers.size}\n".encode() + _coarse(numbers))
    return digest.hexdigest() if found else ""


def _coarse(numbers: Matrix) -> bytes:
    """Rounded to F16, and that to BF16: straight to BF16, a number that F16 rounded before could fall the other way."""
    with np.errstate(over="ignore"):
        halves = numbers.astype(np.float16).astype(np.float32)
    return bytes(quantize(halves, GGMLQuantizationType.BF16))
