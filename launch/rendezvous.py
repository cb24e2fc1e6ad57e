"""How ranks find each other, under srun, mpirun or as plain processes: Horovod over Gloo or MPI, without ssh.

For Gloo, the chief starts Horovod's own rendezvous server within its process and writes into the run directory where it
listens; the others read that. The same note holds the address and port that torch.distributed and others want.
"""

import importlib.util
import os
import socket
import time
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.plan import Plan
from launch.rank import Rank
from launch.rundir import publish_json, read_json

_server: Any = None  # lives as long as the chief's process


def meet(plan: Plan, rank: Rank, meeting: Path, attempt: int, patience_s: float) -> dict[str, str]:
    """Make sure that all ranks can find each other.

    Parameters
    ----------
    plan : Plan
        Of the run.
    rank : Rank
        Who this is.
    meeting : Path
        Folder of the run in which ranks meet.
    attempt : int
        Start of the run.
    patience_s : float
        How long to wait for the chief.

    Returns
    -------
    dict of str to str
        The environment that Horovod, torch.distributed and others look for.

    Raises
    ------
    Refusal
        If the chief does not answer.
    """
    note = meeting / f"attempt{attempt}.json"
    gloo = plan.rendezvous == "gloo" and plan.size > 1 and importlib.util.find_spec("horovod") is not None
    if rank.is_chief:
        candidates = ["127.0.0.1"] if plan.backend == "local" else _addresses(plan.network_interface)
        told = {"addresses": candidates, "master_port": _free_port(), "horovod_port": _serve(plan) if gloo else None}
        publish_json(note, told)
        address, own = candidates[0], candidates[0]
    else:
        told = _wait_for(note, patience_s)
        try:
            address, own = _reach(told["addresses"], told["horovod_port"])
        except Refusal:
            if plan.kind == "workload":
                raise
            # A program that meets nobody may have ended on rank 0 already; one that does will find out.
            address, own = told["addresses"][0], "127.0.0.1"
    environment = {"MASTER_ADDR": address, "MASTER_PORT": str(told["master_port"])}
    if plan.size > 1 and plan.rendezvous == "mpi":
        environment |= {"HOROVOD_CONTROLLER": "mpi", "HOROVOD_CPU_OPERATIONS": "mpi"}
    if gloo:
        environment |= horovod(rank, plan.ranks_per_node, address, told["horovod_port"])
        environment["HOROVOD_GLOO_IFACE"] = (
            os.environ.get("HOROVOD_GLOO_IFACE") or plan.network_interface or _interface(own)
        )
    return environment


def horovod(rank: Rank, ranks_per_node: int, address: str, port: int) -> dict[str, str]:
    """What Horovod wants to know of a rank to start over Gloo."""
    values = {
        "RANK": rank.rank,
        "SIZE": rank.size,
        "LOCAL_RANK": rank.local_rank,
        "LOCAL_SIZE": rank.local_size,
        "CROSS_RANK": rank.node,
        "CROSS_SIZE": rank.nodes,
        "HOSTNAME": f"node{rank.node}",  # tells the nodes of a run apart, also where several are one host
        "GLOO_RENDEZVOUS_ADDR": address,
        "GLOO_RENDEZVOUS_PORT": port,
        "CONTROLLER": "gloo",
        "CPU_OPERATIONS": "gloo",
    }
    return {f"HOROVOD_{name}": str(value) for name, value in values.items()}


def _serve(plan: Plan) -> int:
    global _server
    from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
    from horovod.runner.http.http_server import RendezvousServer

    _server = RendezvousServer(verbose=0)
    port = _server.start()
    hosts = ",".join(f"node{node}:{plan.ranks_per_node}" for node in range(plan.nodes))
    _server.init(get_host_assignments(parse_hosts(hosts), plan.size))
    return port


def _wait_for(note: Path, patience_s: float) -> dict[str, Any]:
    deadline = time.monotonic() + patience_s
    while (told := read_json(note)) is None:
        if time.monotonic() > deadline:
            raise Refusal(
                f"rank 0 did not start within {patience_s:.0f} s: see node0.log; a slow start may need a larger patience_s in the site file"
            )
        time.sleep(0.05)
    return told


def _reach(addresses: list[str], port: int | None) -> tuple[str, str]:
    """The first address of the chief at which it answers, and the address of this host on the way there."""
    if port is None:
        return addresses[0], addresses[0]
    refusals = []
    for address in addresses:
        try:
            with socket.create_connection((address, port), timeout=5) as connection:
                return address, connection.getsockname()[0]
        except OSError as error:
            refusals.append(f"{address}: {error.strerror or error}")
    raise Refusal(
        f"{socket.gethostname()} cannot reach rank 0 on port {port} ({'; '.join(refusals)}): no route between the nodes? "
        "Name the interface that carries it as network_interface in the site file"
    )


def _addresses(interface: str | None) -> list[str]:
    """The IPv4 addresses at which others may reach this host, the likeliest first."""
    import psutil

    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    by_interface = {
        name: entry.address
        for name, entries in psutil.net_if_addrs().items()
        for entry in entries
        if entry.family == socket.AF_INET and name in up
    }
    if interface:
        if interface not in by_interface:
            raise Refusal(
                f"{socket.gethostname()} has no interface {interface!r} with an IPv4 address: {', '.join(by_interface) or 'it has none at all'}"
            )
        return [by_interface[interface]]
    try:
        named = socket.gethostbyname(socket.gethostname())
    except OSError:
        named = "127.0.0.1"
    # Bridges of containers and virtual machines have the same address on every host.
    real = [
        a
        for name, a in by_interface.items()
        if not name.startswith(("lo", "docker", "virbr", "veth", "br-", "cni", "podman"))
    ]
    first = [named] if named in real else []
    return list(dict.fromkeys([*first, *real, "127.0.0.1"]))


def _interface(address: str) -> str:
    """The network interface that has an address."""
    import psutil

    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address == address for entry in entries):
            return name
    return "lo"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        return listener.getsockname()[1]
