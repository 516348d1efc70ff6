"""Whether two base files hold one model in two types of weights, by what no quantizing changes.

Knows tensors that are vectors: norms and biases, which every quantizer leaves in floats. A model that was trained on
has other ones, unless an adapter was merged into it, and such a one loses about as much by quantizing.
"""

from __future__ import annotations

import hashlib

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.grid import FLOATS

_OF_THE_CONVERTER = "rope_"
"""What is computed from the metadata; some releases of the converter write it, others do not."""


def vectors_digest(base: BaseModel) -> str:
    """sha256 of the names and numbers of all vectors, in hexadecimal; "" for a base without any."""
    found = {
        name: file.read(name)
        for file in map(GGUFFile, base.shards or (base.path,))
        for name, tensor in file.tensors.items()
        if len(tensor.shape) == 1 and tensor.type in FLOATS and not name.startswith(_OF_THE_CONVERTER)
    }
    digest = hashlib.sha256()
    for name, numbers in sorted(found.items()):
        digest.update(f"{name} {numbers.size}\n".encode() + numbers.astype("<f4").tobytes())
    return digest.hexdigest() if found else ""
