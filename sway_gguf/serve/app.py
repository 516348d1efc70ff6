"""The API: asks for runs, watches them, reads their results. Knows HTTP; what a run is stands in runs.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from sway_gguf import __version__
from sway_gguf.core.errors import UserError
from sway_gguf.report.formats import FORMATS
from sway_gguf.serve.asked import RunRequest, spec_of
from sway_gguf.serve.guard import Guard, Policy
from sway_gguf.serve.page import policy_of, start_page
from sway_gguf.serve.root import Root
from sway_gguf.serve.runs import ENDED, QueueFullError, Runs
from sway_gguf.spec.options import nearest

_LOOK, _HEARTBEAT = 0.1, 15.0
"""Seconds between looks at a run's events, and until a silent stream says that it lives."""
_GRACE = 2.0
_ENDINGS: Mapping[str, str] = {
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
}
"""Of a result's address, which are names of formats too, with what a browser is told of them."""
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": what, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    for status, what in {
        400: "a file that cannot be used, or a header that stands twice",
        401: "no token, or a wrong one",
        403: "from another site",
        404: "an unknown run, or one without a result",
        408: "the body did not come",
        409: "it has ended already",
        413: "too long",
        415: "not JSON",
        421: "not this server's name",
        422: "not of this shape",
        429: "the queue is full",
    }.items()
}


def application(root: Root, runs: Runs, policy: Policy) -> Guard:
    """The whole application, ready to be served."""
    return Guard(_api(root, runs), policy)


def _api(root: Root, runs: Runs) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        runs.start()
        yield
        runs.stop()
        await asyncio.to_thread(runs.join, _GRACE)

    api = FastAPI(
        title="sway-gguf", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, responses=_ERRORS
    )
    api.add_exception_handler(UserError, _told)
    api.add_exception_handler(QueueFullError, _later)
    api.add_exception_handler(RequestValidationError, _misshapen)
    api.add_exception_handler(StarletteHTTPException, _as_json)
    _add_page(api)
    _add_runs(api, root, runs)
    _describe_errors(api)
    return api


def _add_page(api: FastAPI) -> None:
    @api.get("/", response_class=HTMLResponse)
    def page() -> Response:
        """What runs, and the latest report."""
        html = start_page()
        csp = policy_of(html, "connect-src 'self'", "frame-src 'self'")
        return HTMLResponse(html, headers={"Content-Security-Policy": csp})


def _add_runs(api: FastAPI, root: Root, runs: Runs) -> None:
    @api.post("/runs", status_code=202)
    def ask(request: RunRequest, response: Response) -> dict[str, Any]:
        """Ask for a run; it waits for those before it."""
        record = runs.add(spec_of(request, root), request.name)
        response.headers["Location"] = f"/runs/{record['id']}"
        return record

    @api.get("/runs")
    def listed() -> dict[str, Any]:
        """All runs that are remembered, the newest first."""
        return {"runs": runs.records()}

    @api.get("/runs/{identity}/events", response_class=StreamingResponse)
    def events(identity: str, last_event_id: str = Header(default="0", max_length=20)) -> Response:
        """Server-sent events of a run until it has ended; Last-Event-ID goes on behind that number."""
        _known(runs, identity)
        after = int(last_event_id) if last_event_id.isascii() and last_event_id.isdecimal() else 0
        stream = _stream(runs, identity, after)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    @api.get("/runs/{identity}.{ending}")
    def report(identity: str, ending: str) -> Response:
        """The result of a run as html, json or md."""
        if ending not in _ENDINGS:
            raise HTTPException(404, f"a result comes as {', '.join(_ENDINGS)}")
        result = runs.result(identity)
        if result is None:
            raise HTTPException(404, f"the run is {_known(runs, identity)['state']}; there is no result of it")
        text = FORMATS[ending].render(result)
        headers = {"Content-Security-Policy": policy_of(text)} if ending == "html" else {}
        return Response(text, media_type=_ENDINGS[ending], headers=headers)

    @api.get("/runs/{identity}")
    def record(identity: str) -> dict[str, Any]:
        """How a run stands."""
        return _known(runs, identity)

    @api.delete("/runs/{identity}", status_code=202)
    def cancel(identity: str) -> dict[str, Any]:
        """Stop a run that waits or works."""
        before = _known(runs, identity)
        if before["state"] in ENDED:
            raise HTTPException(409, f"the run is {before['state']} already")
        return runs.cancel(identity) or before


def _known(runs: Runs, identity: str) -> dict[str, Any]:
    found = runs.record(identity)
    if found is None:
        raise HTTPException(404, "there is no such run; GET /runs lists them")
    return found


async def _stream(runs: Runs, identity: str, after: int) -> AsyncIterator[str]:
    silent = 0.0
    while not runs.stopping.is_set():
        found, ended = runs.events(identity, after)
        for number, event in found:
            yield f"id: {number}\nevent: run\ndata: {json.dumps(event)}\n\n"
            after = number
        if ended:
            return
        silent = 0.0 if found else silent + _LOOK
        if silent >= _HEARTBEAT:
            silent = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(_LOOK)


def _describe_errors(api: FastAPI) -> None:
    """Put the one shape of all errors into the description."""
    described = api.openapi

    def with_error() -> dict[str, Any]:
        found = described()
        one = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
        found.setdefault("components", {}).setdefault("schemas", {})["Error"] = one
        return found

    api.openapi = with_error  # type: ignore[method-assign]


def _error(status: int, why: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": why}, status, dict(headers or {}))


async def _told(_: Request, error: Exception) -> Response:
    return _error(400, str(error))


async def _later(_: Request, error: Exception) -> Response:
    assert isinstance(error, QueueFullError)
    return _error(429, str(error), {"Retry-After": str(error.retry_after)})


async def _misshapen(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _error(422, "; ".join(map(_issue, error.errors()[:5]))[:1000])


def _issue(issue: Mapping[str, Any]) -> str:
    """What is wrong with a body, in a few words."""
    kind, place = issue["type"], ".".join(map(str, issue["loc"][1:]))
    if kind == "extra_forbidden":
        return f"unknown field {place!r}, {nearest(place, RunRequest.model_fields)}"
    if kind == "json_invalid":
        return f"not JSON ({issue.get('ctx', {}).get('error', 'it does not end')}, character {place})"
    return f"{place or 'body'}: {issue['msg']}"


async def _as_json(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    unknown = error.detail == HTTPStatus(error.status_code).phrase  # Where none of ours says it better.
    asked = f"{request.method} {request.url.path}"[:200]
    told = f"{asked} is nothing here; / shows what runs, and /openapi.json what can be asked"
    return _error(error.status_code, told if unknown else str(error.detail), error.headers)
