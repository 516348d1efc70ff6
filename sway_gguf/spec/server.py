"""A spec whose model a running server answers for. Knows fields; asks nobody."""

from __future__ import annotations

from sway_gguf.core.errors import UserError
from sway_gguf.spec.model import Spec
from sway_gguf.spec.models import Models


def with_server(spec: Spec, url: str) -> Spec:
    """`spec` with the same files, answered for by the llama-server at `url`.

    Raises:
        UserError: no address.
    """
    if not url.strip():
        raise UserError("--server: no address; give one such as http://127.0.0.1:8080")
    where = {"kind": "server", "url": url}
    base, tuned = (each.model_copy(update=where) for each in (spec.models.base, spec.models.ft))
    return spec.model_copy(update={"models": Models(base=base, ft=tuned)})
