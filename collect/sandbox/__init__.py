"""Local sites that behave like the real ones, each in its own file, served on loopback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from params import UserError

__all__ = ["names", "serve"]
SITES_FOLDER = Path(__file__).parent / "sites"
HOST = "127.0.0.1"  # nobody else's computer may reach a sandbox


def names() -> list[str]:
    """List the sandboxes: the files of collect/sandbox/sites."""
    return sorted(file.stem for file in SITES_FOLDER.glob("[!_]*.py"))


@contextmanager
def serve(
    name: str,
    *,
    state: Path,
    port: int = 0,
    codec: str | None = None,
    faults: Mapping[str, float] | None = None,
    seed: int = 0,
    limit: int | None = None,
    negotiates: str | None = None,
) -> Iterator[str]:
    """Run a sandbox in a thread of this process and yield its origin, `http://127.0.0.1:PORT`.

    What it receives is kept in the folder `state`, and found there by the next one. Port 0 takes any free
    port. `codec` (a chain of collect.codecs) replaces the platform's own for what is uploaded from now on.
    `faults` (see collect.sandbox.faults) strike at these rates, drawn from `seed`. `limit`: files a minute; for
    more the answer is 418. `negotiates`: a codec for those whose Accept names its type. Raises
    UserError for an unknown name, a port in use, a wrong codec, a wrong fault or another sandbox's state.
    """
    import importlib
    import socket
    import threading
    import time

    import uvicorn

    from collect import codecs
    from collect.sandbox.fault_middleware import FaultMiddleware
    from collect.sandbox.faults import Faults
    from collect.sandbox.store import Store

    if name not in names():
        raise UserError(f"No sandbox {name!r}. There are: {', '.join(names())}.")
    for each in filter(None, (codec, negotiates)):
        try:
            codecs.check(each)
        except ValueError as error:
            raise UserError(str(error)) from None
    sandbox = importlib.import_module(f"collect.sandbox.sites.{name}").Sandbox
    trouble = Faults(faults, seed, sandbox.without)
    # IPPROTO_TCP: asyncio turns Nagle's algorithm off for sockets of this kind only
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise UserError(f"The sandbox can't have port {port}: {error}. Give another, or 0 for any.") from None
        store = Store(state, name)
        site = sandbox(store, codec, trouble)
        site.negotiates = negotiates
        server = uvicorn.Server(
            uvicorn.Config(
                FaultMiddleware(site.app(), site, trouble, limit) if trouble or limit is not None else site.app(),
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )
        thread = threading.Thread(target=server.run, args=([listener],), name=f"{name} sandbox", daemon=True)
        try:
            thread.start()
            while not server.started and thread.is_alive():
                time.sleep(0.005)
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            store.close()
