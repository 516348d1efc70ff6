"""`sway-gguf serve`: runs that are asked for over HTTP, on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from sway_gguf.cli.common import FILE
from sway_gguf.cli.output import say
from sway_gguf.cli.storing import StoreWish, store_options

_NEEDED = frozenset({"fastapi", "starlette", "uvicorn", "h11", "anyio"})


@click.command(
    epilog="Example:  sway-gguf serve --root models/",
)
@click.option("--root", type=FILE, default=Path(), help="The one folder that requests may read from (default: here).")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind; another one takes a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8427, show_default=True, help="0 takes a free one.")
@click.option("--token", envvar="SWAY_GGUF_TOKEN", show_envvar=True, help="What requests have to bring.")
@click.option("--new-token", is_flag=True, help="Make one, and print it on stderr.")
@click.option("--allow-host", "names", multiple=True, metavar="NAME", help="A further name that the server has.")
@click.option("--queue", type=click.IntRange(0, 1000), default=8, show_default=True, help="Runs that may wait.")
@store_options
def serve(
    root: Path,
    host: str,
    port: int,
    token: str | None,
    new_token: bool,
    names: tuple[str, ...],
    queue: int,
    store: StoreWish,
) -> None:
    """Serve an API on this machine: POST /runs asks for a run, and / shows runs and reports live.

    One run works at a time and the model stays loaded between runs. See docs/serve.md.
    """
    import secrets
    from functools import partial

    from sway_gguf.core.errors import UserError
    from sway_gguf.engine.factory import open_backend
    from sway_gguf.engine.warm import Warm

    try:
        from sway_gguf.serve.root import Root
        from sway_gguf.serve.runs import Runs
        from sway_gguf.serve.server import Served
        from sway_gguf.serve.server import serve as serve_until_signal
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        raise UserError(f"serve needs {error.name}; pip install 'sway-gguf[serve]'") from None
    if new_token:
        token = secrets.token_urlsafe(32)
        say(f"token: {token}", err=True)
    served = Served(Root(root), host, port, token or "", names)
    with store.opened() as answers:
        runs = Runs(queue, Warm(partial(open_backend, store=answers)))
        serve_until_signal(served, runs, lambda where: say(f"serving {served.root.folder} at {where}", err=True))
