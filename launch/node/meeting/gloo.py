"""Makes Horovod start Gloo on all ranks at the same time, once the last one has reached that point of its program.

While its ranks meet, Gloo listens at a port for each other rank. It takes whoever connects first for that rank, and
aborts the process if that was a port scanner or another program. Nothing around Gloo can change that. But if a rank
waits for the others here, instead of in Gloo, its ports are open only for moments, however late the last rank comes.
"""

import os
import time
from types import ModuleType
from typing import Any

from launch.node.meeting import imports, rendezvous
from launch.record import environment
from launch.record.rundir import RunDir

_MODULE = "horovod.common.basics"  # where ``hvd.init`` is, whatever the framework
_POLL_S = 0.02
_RANKS_A_SECOND = 5000  # requests per second that the chief's server can answer


def start_together(patience_s: float) -> None:
    """Let ``hvd.init`` wait for all ranks before it starts. After ``patience_s`` it starts anyway, as Horovod does.

    Parameters
    ----------
    patience_s : float
        Seconds to wait for the last rank.
    """
    if "HOROVOD_GLOO_RENDEZVOUS_ADDR" in os.environ:
        imports.after(_MODULE, lambda module: _wait_before_init(module, patience_s))


def note(run: RunDir, attempt: int) -> None:
    """Record the network interface that Gloo is told to use, and its address, if it is told one."""
    if interface := os.environ.get("HOROVOD_GLOO_IFACE") or os.environ.get("GLOO_SOCKET_IFNAME"):
        address = dict(rendezvous.interfaces()).get(interface)
        environment.add(run, attempt, "gloo", {"interface": interface, "address": address})


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
    import http.client  # imported only where Horovod is used

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
        pass  # the store is closed: Horovod reports what follows


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
