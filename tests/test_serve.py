"""The server: who may ask and for what, without a model; and one real server with the real demo model."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from sway_gguf.core.errors import UserError
from sway_gguf.core.result_json import from_json
from sway_gguf.material.packaged import DEMO
from sway_gguf.report.formats import FORMATS
from sway_gguf.serve.app import application
from sway_gguf.serve.asked import RunRequest, spec_of
from sway_gguf.serve.guard import MOST_BODY, Policy, host_name
from sway_gguf.serve.page import policy_of
from sway_gguf.serve.root import Root
from sway_gguf.serve.runs import QueueFullError, Run, Runs, _percent
from sway_gguf.serve.server import Served
from sway_gguf.suite.prepare import prepare

TOKEN = "correct-horse-battery"
PAIR = {"base": "base.f32.gguf", "adapter": "healthy.lora.gguf"}
SPEC = """
version: 1
models:
  base: {kind: gguf, base: base.f32.gguf}
  ft: {kind: gguf, base: base.f32.gguf, adapter: ADAPTER}
defaults: {nulls: 0, items: 5}
suite:
  - {name: applied, kind: applied}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A served folder with the demo's model, beside something that is not served."""
    (tmp_path / "secret.txt").write_text("secret")
    inside = tmp_path / "root"
    inside.mkdir()
    for name in ("base.f32.gguf", "healthy.lora.gguf", "random.lora.gguf", "document.md"):
        shutil.copy(DEMO / name, inside)
    (inside / "sway.yaml").write_text(SPEC.replace("ADAPTER", "healthy.lora.gguf"))
    return inside


@asynccontextmanager
async def asking(folder: Path, policy: Policy | None = None, most_queued: int = 2) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application; no worker runs, so that what is asked for waits."""
    app = application(Root(folder), Runs(most_queued), policy or Policy())
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8427") as client:
        yield client


def answers(folder: Path, *requests: tuple[str, str, dict[str, Any]], **how: Any) -> list[httpx.Response]:
    """What is answered to (method, path, further arguments), one after the other."""
    import asyncio

    async def all_of_them() -> list[httpx.Response]:
        async with asking(folder, **how) as client:
            return [await client.request(method, path, **more) for method, path, more in requests]

    return asyncio.run(all_of_them())


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"me:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Token {TOKEN}", 401),
        ("Basic !!!", 401),
        (basic("wrong"), 401),
        ("Bearer \xe9", 401),
        (f"Bearer {TOKEN}", 200),
        (basic(TOKEN), 200),
    ],
)
@pytest.mark.parametrize("path", ["/", "/runs", "/openapi.json"])
def test_a_token_is_wanted_everywhere(folder: Path, given: str | None, status: int, path: str) -> None:
    headers = {} if given is None else {"Authorization": given.encode("latin-1")}
    (answer,) = answers(folder, ("GET", path, {"headers": headers}), policy=Policy(token=TOKEN))
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "192.168.1.7", "::", "example.org"])
def test_others_than_this_machine_take_a_token(folder: Path, host: str) -> None:
    served = Served(Root(folder), host)
    if host == "127.0.0.1":
        assert not served.policy().token
        return
    with pytest.raises(UserError, match="token is wanted"):
        served.policy()
    assert Served(Root(folder), host, token=TOKEN).policy().admits(f"Bearer {TOKEN}")
    with pytest.raises(UserError, match="16 ASCII"):
        Served(Root(folder), host, token="short").policy()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8427", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8427", 200),
        ("here.example", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("localhost:8427@evil.example", 421),
        ("192.168.1.7", 421),
        ("", 421),
        ("[::1", 421),
    ],
)
def test_a_server_is_called_by_its_names_alone(folder: Path, host: str, status: int) -> None:
    (answer,) = answers(folder, ("GET", "/runs", {"headers": {"Host": host}}), policy=Policy(["here.example"]))
    assert answer.status_code == status


def test_a_literal_address_will_do_where_all_are_bound_and_a_name_will_not() -> None:
    policy = Policy(token=TOKEN, any_address=True)
    assert policy.knows("192.168.1.7:80")
    assert policy.knows("[fe80::1]")
    assert not policy.knows("evil.example")
    assert host_name("[::1]x") == host_name("a:b:c") == ""


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:9", "", "http://localhost:8427/"])
def test_other_sites_are_not_answered(folder: Path, origin: str) -> None:
    refused, same = answers(
        folder,
        ("POST", "/runs", {"json": PAIR, "headers": {"Origin": origin}}),
        ("POST", "/runs", {"json": PAIR, "headers": {"Origin": "http://localhost:8427"}}),
    )
    assert (refused.status_code, same.status_code) == (403, 202)


def test_what_changes_something_is_json_and_short(folder: Path) -> None:
    body = json.dumps(PAIR)
    found = answers(
        folder,
        ("POST", "/runs", {"content": body, "headers": {"Content-Type": "text/plain"}}),
        ("POST", "/runs", {"data": PAIR}),
        ("DELETE", "/runs/x", {}),
        ("PUT", "/runs", {"json": PAIR}),
        ("POST", "/runs", {"content": b" " * (MOST_BODY + 1), "headers": {"Content-Type": "application/json"}}),
        ("POST", "/runs", {"content": "{", "headers": {"Content-Type": "application/json"}}),
        ("POST", "/runs", {"json": [1]}),
        ("POST", "/runs", {"json": {**PAIR, "nulls": 10**9}}),
        ("POST", "/runs", {"json": {**PAIR, "command": "rm"}}),
        ("POST", "/runs", {"json": {"spec": "sway.yaml", **PAIR}}),
        ("POST", "/runs", {"json": {}}),
    )
    assert [each.status_code for each in found] == [415, 415, 415, 405, 413, 422, 422, 422, 422, 422, 422]
    said = [each.json()["error"] for each in found]
    assert said[5].startswith("not JSON (")
    assert said[8].startswith("unknown field 'command', valid are: adapter, base, ")
    assert all(list(each.json()) == ["error"] and "\n" not in each.json()["error"] for each in found)


def test_a_body_without_a_length_is_cut_off(folder: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1024

    (answer,) = answers(
        folder, ("POST", "/runs", {"content": endless(), "headers": {"Content-Type": "application/json"}})
    )
    assert answer.status_code == 413


ESCAPES = ["../secret.txt", "/etc/passwd", "a/../../secret.txt", "link.txt", "linked/secret.txt", "a\0b", "~/x", "~"]
ESCAPES += ["C:\\x", "\\\\host\\share", "..\\secret.txt", "l*.txt", "linked/*", "li*/**", " ", "%2e%2e/secret.txt"]


@pytest.mark.skipif(os.name != "posix", reason="makes links")
@pytest.mark.parametrize("word", ESCAPES)
def test_no_path_leads_out_of_the_folder(folder: Path, word: str) -> None:
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "linked").symlink_to(folder.parent)
    root = Root(folder)
    if word.startswith("%"):
        assert root.asked(word).parent.parent == folder  # A name like any other: nothing is decoded twice.
        return
    with pytest.raises(UserError) as told:
        root.asked(word)
    assert "secret\n" not in str(told.value)
    for field in ("base", "adapter", "data", "general", "holdout", "format"):
        with pytest.raises(UserError):
            spec_of(RunRequest(**{**PAIR, field: word}), root)


@pytest.mark.skipif(os.name != "posix", reason="makes links")
def test_a_folder_is_held_to_the_root_with_all_that_it_holds(folder: Path) -> None:
    peft = folder / "peft"
    peft.mkdir()
    (peft / "adapter_config.json").symlink_to(folder.parent / "secret.txt")
    with pytest.raises(UserError, match="leads out"):
        Root(folder).asked("peft")
    (folder / "inner.md").symlink_to(folder / "document.md")
    assert Root(folder).asked("inner.md") == folder.resolve() / "inner.md"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("adapter: healthy.lora.gguf", "adapter: ../secret.txt"), "leads out"),
        (("suite:", "data: /etc/passwd\nsuite:"), "leads out"),
        (("suite:", "format: ../secret.txt\nsuite:"), "leads out"),
        (("suite:", "engine: {embedder: ../secret.txt}\nsuite:"), "leads out"),
        (("kind: applied}", "kind: training_drift, checkpoint: ..}"), "leads out"),
        (("kind: applied}", "kind: calibration_drift, pack: ../secret.txt}"), "leads out"),
        (("kind: applied}", "kind: calibration_drift, pack: ../nothing.txt}"), "leads out"),
        (("kind: applied}", "kind: some_plugin}"), "sway-gguf's own probes"),
        (("kind: gguf, base: base.f32.gguf}\n  ft", "kind: custom, base: base.f32.gguf}\n  ft"), "kind"),
    ],
)
def test_a_spec_stays_in_the_folder_and_runs_nothing_of_others(folder: Path, change: tuple[str, str], why: str) -> None:
    text = (folder / "sway.yaml").read_text()
    assert change[0] in text
    (folder / "sway.yaml").write_text(text.replace(*change))
    with pytest.raises(UserError, match=why):
        spec_of(RunRequest(spec="sway.yaml"), Root(folder))


def test_a_name_longer_than_any_is_a_file_that_is_missing(folder: Path) -> None:
    text = (folder / "sway.yaml").read_text()
    (folder / "sway.yaml").write_text(text.replace("suite:", f"data: {'x' * 3000}\nsuite:"))
    with pytest.raises(UserError, match=r"cannot be read \(File name too long\)"):
        prepare(spec_of(RunRequest(spec="sway.yaml"), Root(folder)))


def test_a_wrong_file_is_told_at_once_and_an_unknown_run_is_404(folder: Path) -> None:
    found = answers(
        folder,
        ("POST", "/runs", {"json": {"base": "none.gguf", "adapter": "healthy.lora.gguf"}}),
        ("POST", "/runs", {"json": {"spec": "../sway.yaml"}}),
        *(("GET", f"/runs/{path}", {}) for path in ("x", "x.html", "x.exe", "x/events", "..%2f..%2fetc%2fpasswd")),
        ("DELETE", "/runs/x", {"headers": {"Content-Type": "application/json"}}),
        ("GET", "/docs", {}),
    )
    assert [each.status_code for each in found] == [400, 400, *[404] * 7]
    assert found[-1].json()["error"].startswith("GET /docs is nothing here; / shows what runs, and /openapi.json ")


def test_a_full_queue_says_when_to_ask_again_and_a_waiting_run_can_be_cancelled(folder: Path) -> None:
    post = ("POST", "/runs", {"json": PAIR})
    *taken, full = answers(folder, post, post, post)
    assert [each.status_code for each in taken] == [202, 202]
    assert taken[0].headers["location"] == f"/runs/{taken[0].json()['id']}"
    assert full.status_code == 429
    assert int(full.headers["retry-after"]) >= 1

    runs = Runs(1)
    spec = spec_of(RunRequest(**PAIR), Root(folder))
    first = runs.add(spec, "first")["id"]
    with pytest.raises(QueueFullError):
        runs.add(spec, "second")
    stopped = runs.cancel(first)
    assert stopped is not None
    assert stopped["state"] == "cancelled"
    assert runs.add(spec, "third")["state"] == "queued"
    events, ended = runs.events(first, 0)
    assert ([event["state"] for _, event in events], ended) == (["queued", "cancelled"], True)
    assert runs.events(first, 1) == ([events[1]], True)
    assert runs.events("unknown", 0) == ([], True)


def test_a_failed_run_says_why_and_the_next_one_runs(folder: Path) -> None:
    def refuse(_: Any) -> Any:
        raise UserError("the adapter is broken; mend it")

    runs = Runs(4, ready=refuse)
    spec = spec_of(RunRequest(**PAIR), Root(folder))
    names = [runs.add(spec, name)["id"] for name in ("one", "two")]
    runs.start()
    deadline = time.monotonic() + 20
    while any((runs.record(each) or {})["state"] != "failed" for each in names) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [(runs.record(each) or {})["error"] for each in names] == ["the adapter is broken; mend it"] * 2
    runs.stop()
    runs.join(10)


def test_every_answer_says_what_a_browser_may_do(folder: Path) -> None:
    page, listing, refused = answers(
        folder, ("GET", "/", {}), ("GET", "/runs", {}), ("GET", "/", {"headers": {"Host": "evil"}})
    )
    for each in (page, listing, refused):
        assert each.headers["x-content-type-options"] == "nosniff"
        assert each.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in each.headers["content-security-policy"]
        assert "access-control-allow-origin" not in each.headers
    policy = page.headers["content-security-policy"]
    assert policy == policy_of(page.text, "connect-src 'self'", "frame-src 'self'")
    assert policy.count("'sha256-") == 1
    assert "script-src 'none'" in policy_of("<p onclick=x>")
    assert "innerHTML" not in page.text


def test_progress_is_never_above_the_whole() -> None:
    run = Run("id", "name", None, "now", done=150, total=100)  # type: ignore[arg-type]
    assert _percent(run) == 100


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """A real server on a free port of loopback."""
    root = tmp_path_factory.mktemp("served")
    for name in ("base.f32.gguf", "healthy.lora.gguf", "random.lora.gguf", "document.md"):
        shutil.copy(DEMO / name, root)
    (root / "quick.yaml").write_text(SPEC.replace("ADAPTER", "healthy.lora.gguf"))
    (root / "other.yaml").write_text(SPEC.replace("ADAPTER", "random.lora.gguf"))
    command = [sys.executable, "-c", "from sway_gguf.cli.start import main; main()", "serve", "--port", "0"]
    process = subprocess.Popen([*command, "--root", str(root)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith(f"serving {root} at http://localhost:"), line
    with httpx.Client(base_url=line.split(" at ")[1].strip(), timeout=60) as client:
        yield client, process
    if process.poll() is None:
        process.kill()
    process.wait(10)


def streamed(client: httpx.Client, identity: str, after: str = "") -> list[tuple[int, dict[str, Any]]]:
    """All events of a run until it has ended."""
    headers = {"Last-Event-ID": after} if after else {}
    found = []
    with client.stream("GET", f"/runs/{identity}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        number = 0
        for line in answer.iter_lines():
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                found.append((number, json.loads(line[6:])))
    return found


def test_a_run_from_the_question_to_its_report(server: tuple[httpx.Client, subprocess.Popen[str]]) -> None:
    client, _ = server
    asked = client.post("/runs", json={"spec": "quick.yaml"})
    assert asked.status_code == 202
    identity = asked.json()["id"]
    events = streamed(client, identity)
    assert [number for number, _ in events] == list(range(1, len(events) + 1))
    states = [event["state"] for _, event in events]
    assert (states[0], states[-1]) == ("queued", "done"), events[-1]
    assert "running" in states
    assert streamed(client, identity, after=str(len(events) - 1)) == events[-1:]
    result = client.get(f"/runs/{identity}.json").json()
    assert result["probes"][0]["verdict"] == "PASS"
    page = client.get(f"/runs/{identity}.html")
    assert "applied" in page.text
    assert page.headers["content-security-policy"] == policy_of(page.text)
    # The page's own policy and the server's hold both: the script that one lets run, the other must too.
    (own,) = re.findall(r"script-src ('sha256-[^']+')", html.unescape(page.text))
    assert f"script-src {own};" in page.headers["content-security-policy"]
    record = from_json(json.dumps(result), "served")
    assert page.text == FORMATS["html"].render(record)
    assert client.get(f"/runs/{identity}.md").text == FORMATS["md"].render(record)
    assert client.get("/runs").json()["runs"][0]["state"] == "done"
    assert client.delete(f"/runs/{identity}", headers={"Content-Type": "application/json"}).status_code == 409
    # Another adapter on the base that stays loaded, then the first again: the same numbers.
    values = []
    for name in ("other.yaml", "quick.yaml"):
        again = client.post("/runs", json={"spec": name}).json()["id"]
        assert streamed(client, again)[-1][1]["state"] == "done"
        values.append(client.get(f"/runs/{again}.json").json()["probes"][0]["value"])
    assert values[0] != values[1] == result["probes"][0]["value"]


def test_a_running_run_is_cancelled_and_a_signal_ends_the_server(
    server: tuple[httpx.Client, subprocess.Popen[str]],
) -> None:
    client, process = server
    long = {**PAIR, "data": "document.md", "nulls": 999}
    running = client.post("/runs", json=long).json()["id"]
    waited = time.monotonic() + 60
    while client.get(f"/runs/{running}").json()["done"] == 0 and time.monotonic() < waited:
        time.sleep(0.05)
    assert client.delete(f"/runs/{running}", headers={"Content-Type": "application/json"}).status_code == 202
    assert streamed(client, running)[-1][1]["state"] == "cancelled"
    assert client.get(f"/runs/{running}.html").status_code == 404

    # The next one works on, and ends with the server: an open stream does not hold it.
    last = client.post("/runs", json=long).json()["id"]
    ended = threading.Thread(target=streamed, args=(client, last), daemon=True)
    ended.start()
    while client.get(f"/runs/{last}").json()["done"] == 0 and time.monotonic() < waited:
        time.sleep(0.05)
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert time.monotonic() - sent < 15
    assert process.stderr is not None
    said = [line for line in process.stderr.read().splitlines() if line]
    assert said == ["sway-gguf: stopped; nothing half-written is left"]


def test_without_the_extra_one_line_says_what_to_install(folder: Path) -> None:
    code = "import sys; sys.modules['uvicorn'] = None; from sway_gguf.cli.start import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "serve"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "sway-gguf: serve needs uvicorn; pip install 'sway-gguf[serve]'\n",
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--host", "0.0.0.0"], "a token is wanted"),
        (["--token", "short"], "16 ASCII"),
        (["--root", "nowhere"], "no folder"),
        (["--host", "203.0.113.1", "--new-token"], "cannot be bound"),
    ],
)
def test_what_cannot_be_served_is_one_line(words: list[str], why: str) -> None:
    from click.testing import CliRunner

    from sway_gguf.cli.main import cli

    done = CliRunner().invoke(cli, ["serve", *words])
    assert isinstance(done.exception, UserError)
    assert why in str(done.exception)
