"""Dask's client and workers without their words on the user's terminal: what matters, we say ourselves.

Knows Dask's settings; nothing of what runs there.
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sway_gguf.core.engine_settings import usual_threads
from sway_gguf.core.errors import UserError

if TYPE_CHECKING:
    from distributed import Client, Security

_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado", "tornado.application", "bokeh")
_CONNECTS_WITHIN = "10s"
_CLOSES_WITHIN = 3.0


def check_dask(option: str) -> None:
    """See whether Dask is there.

    Raises:
        UserError: it is not.
    """
    if find_spec("distributed") is None:
        raise UserError(
            f"{option} needs Dask: pip install 'sway-gguf[fleet]'; without it, --shard 1/4 to --shard 4/4 share a "
            "sweep among four machines"
        )


@contextmanager
def local_cluster(count: int, resources: Mapping[str, float]) -> Iterator[tuple[str, Security | None]]:
    """So many worker processes on this machine, which share its threads; their scheduler's address, and keys to it.

    Whoever reaches a scheduler may have any code run. Keys of this cluster alone keep other users of the machine out,
    where there is a library to make them.
    """
    _quieten()
    from distributed import LocalCluster, Security

    keys = Security.temporary() if find_spec("cryptography") else None

    # Its folder for spilled data would otherwise stay behind in the system's.
    with (
        tempfile.TemporaryDirectory(prefix="sway-gguf-", ignore_cleanup_errors=True) as scratch,
        LocalCluster(
            n_workers=count,
            threads_per_worker=max(1, usual_threads() // count),
            processes=True,
            # Without a page, and its port is not the usual one, which another cluster may hold.
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            memory_limit=None,  # The model is in a process of its own, of which Dask knows nothing.
            local_directory=scratch,
            resources=dict(resources),
            silence_logs=logging.CRITICAL,
            security=keys,
        ) as cluster,
    ):
        yield cluster.scheduler_address, keys


@contextmanager
def quiet_client(address: str, keys: Security | None = None) -> Iterator[Client]:
    """A client of a scheduler; without keys those of Dask's own configuration are taken, if any.

    Raises:
        UserError: there is none.
    """
    _quieten()
    from distributed import Client

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of versions and ports; versions that matter are compared by us.
        try:
            client = Client(address, timeout=_CONNECTS_WITHIN, set_as_default=False, security=keys)
        except (OSError, ValueError) as error:
            words = (str(error).splitlines() or [""])[0]
            raise UserError(f"{address}: no Dask scheduler answers there ({words}); check --scheduler") from error
        try:
            yield client
        finally:
            client.close(timeout=_CLOSES_WITHIN)


def _quieten() -> None:
    """Set Dask's logging before it is imported: its workers take the settings over."""
    if os.environ.get("SWAY_GGUF_DEBUG"):
        return
    import dask

    quiet = {"distributed.logging": dict.fromkeys(_LOGGERS, "critical"), "distributed.worker.profile.enabled": False}
    dask.config.set(quiet)
