"""Runs the application under uvicorn, and ends it within a moment of a signal. Knows sockets and signals."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

import uvicorn

from sway_gguf.core.errors import UserError
from sway_gguf.serve.app import application
from sway_gguf.serve.guard import LOOPBACK_NAMES, Policy, is_address
from sway_gguf.serve.root import Root
from sway_gguf.serve.runs import Runs

_SHORTEST_TOKEN = 16
_WILDCARDS = ("0.0.0.0", "::", "")
_MOST_CONNECTIONS = 64


@dataclass(frozen=True)
class Served:
    """What is served, and to whom.

    Attributes:
        root: the folder that requests may read from.
        host, port: to bind; port 0 takes a free one.
        token: what requests have to bring.
        names: further names that the server is called by.
    """

    root: Root
    host: str = "127.0.0.1"
    port: int = 8427
    token: str = ""
    names: tuple[str, ...] = field(default=())

    def policy(self) -> Policy:
        """Who may ask.

        Raises:
            UserError: others than this machine may, without a token; or the token can be guessed or not be sent.
        """
        local = self.host in LOOPBACK_NAMES
        if not local and not self.token:
            raise UserError(
                f"--host {self.host}: others than this machine could ask, so a token is wanted; give --new-token, or "
                "set SWAY_GGUF_TOKEN"
            )
        if self.token and (len(self.token) < _SHORTEST_TOKEN or not self.token.isascii() or " " in self.token):
            raise UserError(f"the token: {_SHORTEST_TOKEN} ASCII characters or more without spaces; try --new-token")
        names = self.names if self.host in _WILDCARDS else (*self.names, self.host)
        return Policy(names, self.token, any_address=not local and (self.host in _WILDCARDS or is_address(self.host)))


class _Server(uvicorn.Server):
    """uvicorn that stops the run at once when a signal comes: it waits for open streams otherwise."""

    def __init__(self, config: uvicorn.Config, runs: Runs) -> None:
        super().__init__(config)
        self._runs = runs

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop the run, then the server."""
        self._runs.stop()
        super().handle_exit(sig, frame)


def serve(served: Served, runs: Runs, on_ready: Callable[[str], None]) -> None:
    """Serve until a signal comes, which is raised again once all is closed.

    Args:
        served: what, and to whom.
        runs: the queue.
        on_ready: called with the address once it can be asked.

    Raises:
        UserError: the address cannot be bound, or the policy is none.
    """
    policy = served.policy()
    with _bound(served) as listening:
        address, port = listening.getsockname()[:2]
        shown = "localhost" if served.host in LOOPBACK_NAMES else f"[{address}]" if ":" in address else address
        config = uvicorn.Config(
            application(served.root, runs, policy),
            lifespan="on",
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        on_ready(f"http://{shown}:{port}/")
        _Server(config, runs).run([listening])


def _bound(served: Served) -> socket.socket:
    try:
        return socket.create_server(
            (served.host, served.port), family=socket.AF_INET6 if ":" in served.host else socket.AF_INET
        )
    except (OSError, UnicodeError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--host {served.host} --port {served.port}: cannot be bound ({reason}); try --port 0"
        ) from None
