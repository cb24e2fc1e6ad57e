"""Horovod starts Gloo on all ranks at once, when the last has come to that point of its program.

While its ranks meet, Gloo listens at a port for each other rank, takes whoever connects first for that rank, and aborts
the process when it was a scanner of ports or any other program. Nothing around Gloo can change that; but a rank that
waits for the others here, in place of there, has its ports open for moments only, however much later the last one
comes.
"""

import os
import time
from types import ModuleType
from typing import Any

from launch.node import imports

_MODULE = "horovod.common.basics"  # that of ``hvd.init``, whatever the framework
_POLL_S = 0.02
_RANKS_A_SECOND = 5000  # that the chief's server can answer


def start_together(patience_s: float) -> None:
    """From now on ``hvd.init`` waits for all ranks, at most so long; what Horovod does then is its own.

    Parameters
    ----------
    patience_s : float
        How long to wait for the last.
    """
    if "HOROVOD_GLOO_RENDEZVOUS_ADDR" in os.environ:
        imports.after(_MODULE, lambda module: _wait_before_init(module, patience_s))


def interface() -> str | None:
    """The network interface that Gloo is told to use."""
    return os.environ.get("HOROVOD_GLOO_IFACE") or os.environ.get("GLOO_SOCKET_IFNAME")


def _wait_before_init(module: ModuleType, patience_s: float) -> None:
    init, times = module.HorovodBasics.init, 0

    def waiting(basics: Any, *words: Any, **options: Any) -> Any:
        nonlocal times
        times += 1
        _wait_for_all(f"ready{times}", patience_s)
        return init(basics, *words, **options)

    module.HorovodBasics.init = waiting


def _wait_for_all(name: str, patience_s: float) -> None:
    """Say in the store that this rank is ready, and wait until the chief says that all are."""
    import http.client  # and of a server, only where Horovod is used

    rank, size = int(os.environ["HOROVOD_RANK"]), int(os.environ["HOROVOD_SIZE"])
    deadline, pause = time.monotonic() + patience_s, max(_POLL_S, size / _RANKS_A_SECOND)
    try:
        _ask("PUT", f"{name}/{rank}")
        for other in range(size) if rank == 0 else ["all"]:
            while _ask("GET", f"{name}/{other}") != http.HTTPStatus.OK:
                if time.monotonic() > deadline:
                    return
                time.sleep(pause)
        if rank == 0:
            _ask("PUT", f"{name}/all")
    except (OSError, http.client.HTTPException):
        pass  # the store is closed: Horovod says what that means


def _ask(method: str, key: str) -> int:
    import http.client

    place, _, secret = os.environ["HOROVOD_GLOO_RENDEZVOUS_ADDR"].partition("/")
    port = os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"]
    connection = http.client.HTTPConnection(place, timeout=30)
    try:
        connection.request(method, f"/{secret}:{port}/{key}", body=b"" if method == "PUT" else None)
        return connection.getresponse().status
    finally:
        connection.close()
