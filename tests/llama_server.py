"""A small llama-server for tests, answered for by the real engine: the endpoints that a backend asks, and their ways.

Written after llama.cpp's tools/server (its README and source, as llama-cpp-python carries them): adapters stand
at the scales that a request gives and at 0 without; log-probabilities are those before any sampler; a grammar of token
ids lets neither an end of text nor an incomplete character pass; a step whose bytes are no whole characters is not
told; what ends a text ends the reply. `tests/test_llama_server.py` holds it to llama.cpp's own program where that is.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.queries import Generate, NextToken
from sway_gguf.core.views import BASE, ScaledView, View
from sway_gguf.engine import scoring
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.engine.packing import Job


@dataclass
class Ways:
    """How a server is, where it is not as it should be.

    Attributes:
        adapters: what it says it has loaded; the backend's own by default.
        context: of a text.
        slots: texts side by side.
        follows: whether the scale of a request counts.
        drafts: whether it speculates, and tells no probabilities of tokens.
        grammars: whether it knows grammars of token ids.
        missing: paths that it does not have.
        shift: added to each token id that it makes of a text.
        broken: views whose numbers are none: "base" for all of them, "tuned" for those with an adapter.
        fails: requests that are answered with 503 before all others.
    """

    adapters: Sequence[str] | None = None
    context: int = 514
    slots: int = 2
    follows: bool = True
    drafts: bool = False
    grammars: bool = True
    missing: frozenset[str] = frozenset()
    shift: int = 0
    broken: str = ""
    fails: int = 0
    asked: list[tuple[str, Any]] = field(default_factory=list)


class RefusedError(Exception):
    """A request that is answered with 400."""

    status = 400


class FailedError(RefusedError):
    """One that is answered with 500."""

    status = 500


@contextmanager
def llama_server(backend: LlamaBackend, ways: Ways | None = None) -> Iterator[str]:
    """The address of a server that answers for `backend`, while the block lasts."""
    double = _Double(backend, ways or Ways())
    server = ThreadingHTTPServer(("127.0.0.1", 0), double.handler())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Double:
    def __init__(self, backend: LlamaBackend, ways: Ways) -> None:
        self.backend, self.ways, self.lock = backend, ways, threading.Lock()
        self.model = backend.model

    def handler(self) -> type[BaseHTTPRequestHandler]:
        double = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._give(None)

            def do_POST(self) -> None:
                self._give(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _give(self, body: Any) -> None:
                try:
                    with double.lock:
                        status, found = double.answered(self.path, body)
                except RefusedError as error:
                    status, found = error.status, {"error": {"code": error.status, "message": str(error)}}
                data = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                return

        return Handler

    def answered(self, path: str, body: Any) -> tuple[int, Any]:
        ways = self.ways
        ways.asked.append((path, body))
        if ways.fails:
            ways.fails -= 1
            return 503, {"error": {"code": 503, "message": "Loading model"}}
        known = {"/lora-adapters": self.adapters, "/props": self.props, "/tokenize": self.tokenize,
                 "/completion": self.completion}  # fmt: skip
        if path not in known or path in ways.missing:
            return 404, {"error": {"code": 404, "message": "File Not Found"}}
        return 200, known[path](body)

    def adapters(self, _: Any) -> Any:
        assert self.backend.stack is not None
        own = [str(adapter.path) for adapter in self.backend.stack.adapters]
        paths = own if self.ways.adapters is None else self.ways.adapters
        return [{"id": number, "path": path, "scale": 1.0} for number, path in enumerate(paths)]

    def props(self, _: Any) -> Any:
        return {
            "default_generation_settings": {"n_ctx": self.ways.context},
            "total_slots": self.ways.slots,
            "model_path": str(self.backend.base.path),
            "build_info": "b1-double",
            "chat_template": "",
        }

    def tokenize(self, body: Any) -> Any:
        tokens = self.model.tokenize(body["content"])
        own = tokens[1:] if tokens[:1] == [self.model.bos] else tokens
        return {"tokens": [token + self.ways.shift for token in own]}

    def completion(self, body: Any) -> Any:
        view, prompt, top = self.view(body), list(body["prompt"]), int(body.get("n_probs", 0))
        count = min(int(body["n_predict"]), self.ways.context - 1 - len(prompt))
        grammar = body.get("grammar", "")
        if grammar and not self.ways.grammars:
            raise RefusedError("failed to parse grammar")
        wanted = [int(one) for one in re.findall(r"<\[(\d+)\]>", grammar)]
        if any(not self.passes(token) for token in wanted):
            raise RefusedError("Unexpected empty grammar stack after accepting piece")
        pushed = {int(token): float(bias) for token, bias in body.get("logit_bias", [])}
        if self.ways.broken == "base" or (self.ways.broken and view != BASE):
            return self.without_numbers(count, bool(wanted), top)
        if not wanted and not pushed:
            tokens = self.reply(view, prompt, count)
            steps = [self.step(token, np.float32(-1.0), [(token, np.float32(-1.0))]) for token in tokens] if top else []
            return {"tokens": tokens, "content": "…", "completion_probabilities": steps}
        if wanted:
            tokens, values = wanted[:count], self.scores(view, prompt, wanted[:count])
            # Which token is the likeliest is not looked at here.
            steps = [self.step(token, value, [(token, value)]) for token, value in zip(tokens, values, strict=True)]
        else:
            tokens, row = [max(pushed, key=pushed.__getitem__)], self.row(view, prompt)
            listed = [(int(one), row[one]) for one in np.argsort(-row, kind="stable")[:top]]
            steps = [self.step(tokens[0], row[tokens[0]], listed)] if self.told(tokens[0]) else []
        return {"tokens": tokens, "content": "…", "completion_probabilities": steps}

    def without_numbers(self, count: int, held: bool, top: int) -> Any:
        """Of NaN the first token is the likeliest, whatever is pushed; no grammar lets it pass. NaN becomes null."""
        if held:
            raise FailedError("got exception: Unexpected empty grammar stack after accepting piece: <unk> (0)")
        none = {"id": 0, "token": "", "bytes": [], "logprob": None}
        steps = [{**none, "top_logprobs": [none] * top}] * count if top else []
        return {"tokens": [0] * count, "content": "…", "completion_probabilities": steps}

    def view(self, body: Any) -> View:
        scales = {entry["id"]: entry["scale"] for entry in body["lora"]}
        assert self.backend.stack is not None
        (member,) = self.backend.stack.members
        scale = scales.get(0, 0.0) / member.scale if self.ways.follows else 1.0
        return ScaledView(scale) if scale else BASE

    def passes(self, token: int) -> bool:
        return not self.model.ends_text(token) and self.told(token) and bool(self.model.piece(token, control=True))

    def told(self, token: int) -> bool:
        try:
            self.model.piece(token).decode()
        except UnicodeDecodeError:
            return False
        return True

    def row(self, view: View, tokens: Sequence[int]) -> NDArray[np.float32]:
        ask = scoring.Ask(NextToken(""), tuple(tokens), len(tokens), (Job(tuple(tokens), len(tokens) - 1),))
        with self.backend.open(view):
            found: NDArray[np.float32] = self.backend._by_units("scores", view, [ask], None)[0]
        return found

    def scores(self, view: View, prompt: Sequence[int], wanted: Sequence[int]) -> NDArray[np.float32]:
        whole = (*prompt, *wanted)
        ask = scoring.Ask(NextToken(""), whole, 0, (Job(whole[:-1], len(prompt) - 1, tuple(wanted)),))
        with self.backend.open(view):
            found: NDArray[np.float32] = self.backend._by_units("scores", view, [ask], None)[0]
        return found

    def reply(self, view: View, prompt: Sequence[int], count: int) -> list[int]:
        query = Generate("", count)
        job = Job((*prompt, *[0] * count), len(prompt) - 1)
        with self.backend.open(view):
            ask = scoring.Ask(query, tuple(prompt), len(prompt), (job,))
            found = list(self.backend._by_units("replies", view, [ask], None)[0].token_ids)
            if len(found) == count:
                return found
        return [*found, int(np.argmax(self.row(view, [*prompt, *found])))]

    def step(self, token: int, value: np.float32, likely: Sequence[tuple[int, np.float32]]) -> Any:
        told = [{"id": one, "token": "", "bytes": [], "logprob": float(each)} for one, each in likely]
        top = [] if self.ways.drafts else told
        return {"id": token, "token": "", "bytes": [], "logprob": float(value), "top_logprobs": top}
