"""One server over HTTP: JSON there and back, within a time, again where that may help, and one line where it does not.

Knows statuses and addresses; not what is asked. Nothing is sent anywhere but to the address that the user gave: no
redirect is followed, for it would take the key along.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from email.message import Message
from ipaddress import ip_address
from typing import IO, Any
from urllib.parse import urlsplit

from sway_gguf import __version__
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import shorten

_MOST_BYTES = 64 << 20
"""Of an answer; one with twenty tokens has a few thousand, one with a whole vocabulary some millions."""
_WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try, unless a caller wants fewer."""
_LONGEST_WAIT = 30.0
_PASSING = frozenset({408, 425, 429, 502, 503, 504})
_NOT_THERE = frozenset({404, 405, 501})
_REFUSED = frozenset({400, 413, 415, 422, 500})
"""500 is among them: llama-cpp-python answers so where it gives no log-probabilities, or a prompt is too long."""
_VERSION = "/v1/"
_OF_THE_VERSION = ("", "chat", "completions", "completion", "models", "responses", "messages")
_ENDPOINTS = ("/chat/completions", "/completions", "/completion", "/models", "/api/generate", "/api/chat")
"""Those that stand without a version too."""


class NoEndpointError(UserError):
    """The server has nothing at this path."""


class RefusedError(UserError):
    """The server does not take the request as it is."""


class UnreachableError(UserError):
    """The server does not answer."""


class Server:
    """A server by its address.

    Args:
        url: as the user gave it, with or without /v1 or an endpoint at its end; http:// where it has no scheme.
        key: brought as a bearer token; "" for none.
        timeout: seconds for each request.
        sleep: waits between tries.
        waits: seconds before each further try.
        way_out: how to give it more time.

    Raises:
        UserError: no address of a server.
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        timeout: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
        *,
        waits: Sequence[float] = _WAITS,
        way_out: str = "give a longer --timeout",
    ) -> None:
        self.root = root_of(url)
        self.requests = 0
        self._timeout, self._sleep, self._waits = timeout, sleep, waits
        self._late = f"no answer within {timeout:g} s; {way_out}"
        self._headers = {"Content-Type": "application/json", "User-Agent": f"sway-gguf/{__version__}"}
        if key:
            if not key.isascii() or not key.isprintable():
                raise UserError("--api-key: a character that no header holds; check it")
            self._headers["Authorization"] = f"Bearer {key}"
        # A proxy is for the world outside; this machine is reached without one.
        proxies = [urllib.request.ProxyHandler({})] if is_here(self.root) else []
        self._opener = urllib.request.build_opener(_Stay, *proxies)

    def get(self, path: str) -> Any:
        """What lies at `path`; errors as of `post`."""
        return self._answer(path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer to `body`, parsed.

        Raises:
            UnreachableError: nothing listens, the name is unknown, or no answer came in time, however often asked.
            NoEndpointError: the server knows no such path.
            RefusedError: it does not take the request.
            UserError: it wants a key, sends elsewhere, fails, or answers what is no JSON.
        """
        return self._answer(path, json.dumps(body).encode())

    def _answer(self, path: str, data: bytes | None) -> Any:
        for wait in (*self._waits, None):
            try:
                return self._once(path, data)
            except _PassingError as error:
                if wait is None:
                    raise UnreachableError(str(error)) from None
                self._sleep(min(error.after or wait, _LONGEST_WAIT))
        raise AssertionError("unreachable")

    def _once(self, path: str, data: bytes | None) -> Any:
        where, self.requests = f"{self.root}{path}", self.requests + 1
        request = urllib.request.Request(where, data, dict(self._headers), method="GET" if data is None else "POST")
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return _parsed(answer.read(_MOST_BYTES + 1), where)
        except urllib.error.HTTPError as error:
            with error:
                raise _of_status(error, where) from None
        except urllib.error.URLError as error:
            raise _unreached(error.reason, where, self._late) from None
        except (OSError, http.client.HTTPException) as error:
            raise _unreached(error, where, self._late) from None


class _PassingError(Exception):
    """What another try may mend; `after` seconds where the server says so."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


def root_of(url: str) -> str:
    """The address before /v1: scheme, host, port and what a proxy puts before.

    Raises:
        UserError: it is none of http or https.
    """
    given = url.strip() if "://" in url else f"http://{url.strip()}"
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or not given.isascii() or " " in given:
        raise UserError(f"{url!r}: no address of a server; give one such as http://127.0.0.1:8080")
    if parts.username or parts.password:
        raise UserError(f"the address of {host} holds a password; give it with --api-key")
    if parts.query or parts.fragment:
        raise UserError(f"{url!r}: an address with ? or #; give the server's own, such as http://127.0.0.1:8080")
    path = parts.path.rstrip("/")
    before, version, behind = f"{path}/".rpartition(_VERSION)
    # Behind a version of another kind, a gateway's or a proxy's, stands more of the address.
    if version and behind.partition("/")[0] in _OF_THE_VERSION:
        path = before
    path = next((path.removesuffix(end) for end in _ENDPOINTS if path.endswith(end)), path)
    return f"{parts.scheme}://{parts.netloc}{path}"


def is_here(root: str) -> bool:
    """Whether an address is this machine's own."""
    host = urlsplit(root).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _parsed(data: bytes, where: str) -> Any:
    if len(data) > _MOST_BYTES:
        raise UserError(f"{where}: an answer of more than {_MOST_BYTES >> 20} MiB; is this the address of an API?")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        shown = shorten(data[:200].decode("utf-8", "replace"))
        raise UserError(f"{where}: the answer is no JSON ({shown}); is this the address of an API?") from None


def _of_status(error: urllib.error.HTTPError, where: str) -> Exception:
    """The error to raise for a status that is none of success."""
    code, said = error.code, _said(error)
    if code in (401, 403):
        return UserError(f"{where}: it wants a key ({code}{said}); give --api-key, or set SWAY_GGUF_API_KEY")
    if 300 <= code < 400:
        return UserError(f"{where}: it sends on to {error.headers.get('Location', 'elsewhere')}; give that address")
    if code in _NOT_THERE:
        return NoEndpointError(f"{where}: nothing there ({code}{said}); is this the address of an API?")
    if code in _REFUSED:
        return RefusedError(f"{where}: it refuses the request ({code}{said})")
    if code in _PASSING:
        return _PassingError(
            f"{where}: it fails ({code}{said}); see its log", _seconds(error.headers.get("Retry-After"))
        )
    return UserError(f"{where}: it fails ({code}{said}); see its log")


def _said(error: urllib.error.HTTPError) -> str:
    """What the body says of the error, in short."""
    try:
        text = error.read(4096).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return ""
    try:
        found = json.loads(text)
        for key in ("error", "detail", "message"):
            found = found.get(key, found) if isinstance(found, dict) else found
        text = found if isinstance(found, str) else json.dumps(found)
    except (ValueError, RecursionError):
        pass
    return f": {shorten(text, 160)}" if text.strip() else ""


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text or ""))
    except ValueError:
        return None


def _unreached(reason: object, where: str, late: str) -> Exception:
    if isinstance(reason, TimeoutError):
        return _PassingError(f"{where}: {late}")
    if isinstance(reason, ConnectionRefusedError):
        return UnreachableError(
            f"{where}: nothing listens there (connection refused); start the server, or mend the URL"
        )
    if isinstance(reason, ConnectionError | http.client.HTTPException):
        return _PassingError(f"{where}: the connection broke ({reason or type(reason).__name__}); see the server's log")
    return UnreachableError(f"{where}: cannot be reached ({getattr(reason, 'strerror', None) or reason}); mend the URL")
