"""Stands before the application: who may ask, under which name, how much, and what every answer carries.

Knows HTTP as ASGI has it; nothing of runs. It holds off DNS rebinding (Host), requests forged by other sites (Origin,
and JSON alone where something changes) and bodies without end.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY = 64 << 10
_BODY_SECONDS = 10.0
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_READING = ("GET", "HEAD")
_METHODS = (*_READING, "POST", "DELETE")
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"cache-control", b"no-store"),
)
_NOTHING_LOADS = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"


@dataclass(frozen=True)
class Policy:
    """Who may ask.

    Attributes:
        hosts: names under which the server is called, besides those of loopback.
        token: what a request has to bring; "" for none.
        any_address: whether any literal address will do as a name; a site that rebinds needs a name of its own.
    """

    hosts: Sequence[str] = ()
    token: str = ""
    any_address: bool = False

    def knows(self, host: str) -> bool:
        """Whether a Host header, with or without its port, names this server."""
        name = host_name(host)
        if name in LOOPBACK_NAMES or name in {each.lower() for each in self.hosts}:
            return True
        return self.any_address and is_address(name)

    def admits(self, authorization: str) -> bool:
        """Whether an Authorization header brings the token: as Bearer, or as the password of Basic in a browser."""
        if not self.token:
            return True
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "basic":
            try:
                given = base64.b64decode(given.strip(), validate=True).decode().partition(":")[2]
            except (binascii.Error, ValueError):
                return False
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode(), self.token.encode())


def host_name(host: str) -> str:
    """The name in a Host header, in small letters; "" where it is none."""
    name, colon, port = host.rpartition(":")
    if host.startswith("["):
        inside, bracket, rest = host[1:].partition("]")
        return inside.lower() if bracket and (not rest or (rest[0] == ":" and rest[1:].isdecimal())) else ""
    if not colon:
        return host.lower()
    return name.lower() if port.isdecimal() and ":" not in name else ""


def is_address(name: str) -> bool:
    """Whether a name is a literal address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class RefusedError(Exception):
    """A request that goes no further."""

    def __init__(self, status: int, why: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(why)
        self.status, self.headers = status, headers


class Guard:
    """An application behind the policy.

    Args:
        app: that answers.
        policy: who may ask.
    """

    def __init__(self, app: App, policy: Policy) -> None:
        self._app, self._policy = app, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # No WebSockets here; the server refuses them.
        try:
            self._check(scope)
            body = await _whole_body(scope, receive)
        except RefusedError as refused:
            await _refuse(refused, _dressed(send))
            return
        await self._app(scope, _handed_on(body, receive), _dressed(send))

    def _check(self, scope: Scope) -> None:
        headers = _headers(scope)
        host = _one(headers, b"host")
        if not self._policy.knows(host):
            raise RefusedError(421, "this server is not called by that name; --allow-host NAME adds one")
        if b"origin" in headers and _one(headers, b"origin") not in (f"http://{host}", f"https://{host}"):
            raise RefusedError(403, "requests from other sites are not answered")
        if not self._policy.admits(_one(headers, b"authorization")):
            ways = (
                (b"www-authenticate", b'Basic realm="sway-gguf", charset="UTF-8"'),
                (b"www-authenticate", b"Bearer"),
            )
            raise RefusedError(401, "a token is wanted: Authorization: Bearer TOKEN", *ways)
        if scope["method"] not in _METHODS:
            raise RefusedError(405, "GET, HEAD, POST and DELETE alone", (b"allow", ", ".join(_METHODS).encode()))
        kind = _one(headers, b"content-type").partition(";")[0].strip().lower()
        if scope["method"] not in _READING and kind != "application/json":
            raise RefusedError(415, "Content-Type: application/json is wanted, for what changes something")


def _headers(scope: Scope) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return found


def _one(headers: dict[bytes, list[bytes]], name: bytes) -> str:
    """A header that stands once; "" where it is missing.

    Raises:
        RefusedError: it stands twice: who else reads the request may have taken the other.
    """
    values = headers.get(name, [])
    if len(values) > 1:
        raise RefusedError(400, f"the header {name.decode()} stands twice")
    return values[0].decode("latin-1") if values else ""


async def _whole_body(scope: Scope, receive: Receive) -> bytes:
    """Raises RefusedError: it is too long, or does not come."""
    if scope["method"] in _READING:
        return b""
    told = _one(_headers(scope), b"content-length")
    too_long = RefusedError(413, f"at most {MOST_BODY:,} bytes are read")
    if told.isdecimal() and int(told[:20]) > MOST_BODY:
        raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise RefusedError(400, "the request ended before its body did")
                body += message.get("body", b"")
                if len(body) > MOST_BODY:
                    raise too_long
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError:
        raise RefusedError(408, f"the body did not come within {_BODY_SECONDS:g} s") from None


def _handed_on(body: bytes, receive: Receive) -> Receive:
    """The body that was read once more, then whatever comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _dressed(send: Send) -> Send:
    """Puts on every answer what browsers are to heed."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", ())}
            more = [pair for pair in _ALWAYS if pair[0] not in there]
            if b"content-security-policy" not in there:
                more.append((b"content-security-policy", _NOTHING_LOADS))
            message["headers"] = [*message.get("headers", ()), *more]
        await send(message)

    return sent


async def _refuse(refused: RefusedError, send: Send) -> None:
    body = json.dumps({"error": str(refused)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *refused.headers]
    # What was not read of a request would be taken for the next one.
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
