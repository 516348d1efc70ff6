"""llama-cpp-python's server on loopback, for as long as a block lasts: several deployments of one base under names.

Knows how it is started and stopped; asks nothing.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SECONDS = 60.0
_SETTINGS = {"n_ctx": 512, "n_threads": 1, "n_threads_batch": 1, "verbose": False}


@contextmanager
def serving(deployments: Mapping[str, Mapping[str, Any]], folder: Path, **settings: Any) -> Iterator[str]:
    """Start the server and give its address; at the end of the block it is stopped.

    Args:
        deployments: by name, what its model settings say (`model`, `lora_path`, `chat_format`, …); one is loaded at a
            time, the one that was asked for last.
        folder: for its settings and its log.
        settings: of the server itself, such as `api_key`.

    Raises:
        RuntimeError: it does not come up; the message holds the end of its log.
    """
    port = _free_port()
    models = [{**_SETTINGS, "model_alias": name, **one} for name, one in deployments.items()]
    config = folder / "server.json"
    config.write_text(json.dumps({"host": "127.0.0.1", "port": port, **settings, "models": models}), encoding="utf-8")
    log, address = folder / "server.log", f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "llama_cpp.server", "--config_file", str(config)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            _wait(process, f"{address}/docs", log)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], page: str, log: Path) -> None:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(page, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"llama-cpp-python's server did not come up: {log.read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
