"""llama.cpp's RPC servers: where they listen, whether they answer, and the devices that they lend. Knows sockets and
ggml's functions; loads no model.

ggml ends the whole process where a server is not there, and waits without end where one takes a connection and says
nothing, as it does while another client is with it. So each is asked here first, in its own words.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sway_gguf.core.errors import EngineError, UserError
from sway_gguf.engine.library import ggml, uninterrupted

_HELLO, _CAPABILITIES, _VERSION = 14, 24, 4
"""The first command of the protocol, and the bytes that client and server say of themselves in it."""
_PATIENCE = 10.0
"""Seconds that a server may take to answer it."""
NO_RPC = (
    '--rpc: this llama.cpp was built without RPC; CMAKE_ARGS="-DGGML_RPC=ON" pip install --force-reinstall --no-deps '
    "--no-binary llama-cpp-python llama-cpp-python compiles one that has it"
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How what servers compute compares with this machine, on the base and a few prompts.

    Attributes:
        servers: that hold the layers.
        prompts: asked of both.
        equal: whether every bit is the same.
        difference: the greatest of a log-probability, of tokens that matter, nats.
        divergence: mean Jensen–Shannon divergence of the next token's distributions, nats.
        tolerance: the most that was accepted.
        fingerprint: of the servers' bits.
    """

    servers: tuple[str, ...]
    prompts: int
    equal: bool
    difference: float
    divergence: float
    tolerance: float
    fingerprint: str

    @property
    def said(self) -> str:
        """It, in a sentence without its end."""
        like = (
            "bit for bit those of this machine"
            if self.equal
            else f"those of this machine but for {self.difference:.2g} nats at most, mean divergence "
            f"{self.divergence:.2g} nats (up to {self.tolerance:.2g} is taken for rounding)"
        )
        return (
            f"engine.rpc, an experiment: the layers were computed by {', '.join(self.servers)}; before the first "
            f"question the base's log-probabilities over {self.prompts} prompts were {like}"
        )

    @property
    def record(self) -> dict[str, Any]:
        """For the record of a result."""
        named = ("prompts", "equal", "difference", "divergence", "tolerance")
        return {"servers": list(self.servers), **{name: getattr(self, name) for name in named}}


def check_servers(servers: Sequence[str], patience: float = _PATIENCE) -> None:
    """See that this llama.cpp knows RPC, and that every server answers in its protocol.

    Raises:
        UserError: one does not, or this build knows no RPC.
    """
    _registry()
    for server in servers:
        try:
            greeted(server, patience)
        except TimeoutError:
            raise UserError(
                f"--rpc {server}: it says nothing for {patience:g} s; an RPC server has one client at a time, so see "
                "who else is with it, or start it anew"
            ) from None
        except OSError as error:
            raise UserError(
                f"--rpc {server}: {error.strerror or error}; start llama.cpp's RPC server there, as in "
                f"ggml-rpc-server -H 0.0.0.0 -p {server.rpartition(':')[2]}"
            ) from None


def greeted(server: str, patience: float) -> None:
    """Say hello and hear it answered.

    Raises:
        OSError: nobody is there, or nothing is said in time.
        UserError: somebody else is.
    """
    host, _, port = server.partition(":")
    with socket.create_connection((host, int(port)), patience) as connection:
        connection.sendall(struct.pack("<BQ", _HELLO, _CAPABILITIES) + bytes(_CAPABILITIES))
        said = b""
        while len(said) < 8 + _VERSION and (more := connection.recv(64)):
            said += more
    if len(said) < 8 + _VERSION or struct.unpack("<Q", said[:8])[0] != _VERSION + _CAPABILITIES:
        raise UserError(
            f"--rpc {server}: what listens there is no RPC server of llama.cpp, or one of another version; start the "
            "one that belongs to this build"
        )


def devices(servers: Sequence[str]) -> Any:
    """Handles of all devices that the servers lend, as llama.cpp takes them: an array that ends with none.

    A server that goes away, or speaks another version, ends the process here.

    Raises:
        UserError: this build knows no RPC, or a server lends nothing.
    """
    library, registry = ggml(), _registry()
    find = library.ggml_backend_reg_get_proc_address
    find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]
    count, get = library.ggml_backend_reg_dev_count, library.ggml_backend_reg_dev_get
    count.restype, count.argtypes = ctypes.c_size_t, [ctypes.c_void_p]
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t]
    address = find(registry, b"ggml_backend_rpc_add_server")
    if not address:
        raise EngineError("--rpc: this llama.cpp adds RPC servers in another way; install another release")
    add = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(address)
    found: list[int] = []
    for server in servers:
        lent = uninterrupted(add, server.encode())
        if not lent:
            raise UserError(f"--rpc {server}: it lends no device")
        found += [get(lent, place) for place in range(count(lent))]
    return (ctypes.c_void_p * (len(found) + 1))(*found, None)


def _registry() -> int:
    """ggml's own entry of RPC.

    Raises:
        UserError: this build has none.
    """
    try:
        by_name = ggml().ggml_backend_reg_by_name
    except AttributeError:  # Windows looks for names in the library itself alone.
        raise UserError(NO_RPC) from None
    by_name.restype, by_name.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    found = by_name(b"RPC")
    if not found:
        raise UserError(NO_RPC)
    return int(found)
