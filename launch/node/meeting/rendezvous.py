"""Lets ranks find each other, under srun, mpirun or as plain processes: Horovod over Gloo or MPI, without ssh.

For Gloo, the chief (rank 0) starts a rendezvous server in its process. It writes the server's address, and a secret
that clients must show, into the run directory, which nobody else can read. The same note holds the address and ports
that torch.distributed, JAX and others need.
"""

import ctypes
import fcntl
import importlib.util
import itertools
import json
import os
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.errors import Refusal
from launch.node.rank import Rank
from launch.node.waiting import until
from launch.plan.plan import Plan
from launch.record.files import read_json
from launch.record.writing import publish

if TYPE_CHECKING:
    from launch.node.meeting.server import RendezvousServer

_server: "RendezvousServer | None" = None  # set on the chief


def meet(plan: Plan, rank: Rank, meeting: Path, attempt: int, patience_s: float) -> dict[str, str]:
    """Make sure that all ranks can find each other.

    Parameters
    ----------
    plan : Plan
        Plan of the run.
    rank : Rank
        The rank of this process.
    meeting : Path
        Folder of the run in which ranks meet.
    attempt : int
        Number of the attempt.
    patience_s : float
        Seconds to wait for the chief.

    Returns
    -------
    dict of str to str
        The variables that Horovod, torch.distributed and others look for.

    Raises
    ------
    Refusal
        If the chief does not answer.
    """
    note = meeting / f"attempt{attempt}.json"
    gloo = plan.rendezvous == "gloo" and plan.size > 1 and importlib.util.find_spec("horovod") is not None
    if rank.is_chief:
        candidates = ["127.0.0.1"] if plan.backend == "local" else _addresses(plan.network_interface)
        places, secret = _serve(candidates) if gloo else ([(address, 0) for address in candidates], "")
        told = {
            "places": places,
            "secret": secret,
            "machine": _machine(),
            "master_port": os.environ.get("MASTER_PORT") or own_port(),
            "jax_port": own_port(),
        }
        publish(note, json.dumps(told), mode=0o600)  # even if the run is open to others
        (address, port), own = places[0], candidates[0]
    else:
        told = _wait_for(note, patience_s)
        try:
            (address, port), own = _reach(told["places"], told["secret"])
            if address == "127.0.0.1" and told.get("machine", _machine()) != _machine():
                raise Refusal(_NO_IPV4)
        except Refusal as refusal:
            if plan.kind == "workload":
                raise
            if str(refusal) == _NO_IPV4:
                print(f"launch: {refusal}", file=sys.stderr, flush=True)
            # A program that meets nobody may already have ended on rank 0; one that meets others will find out.
            (address, port), own = told["places"][0], "127.0.0.1"
    environment = {"MASTER_ADDR": os.environ.get("MASTER_ADDR") or address, "MASTER_PORT": str(told["master_port"])}
    if plan.kind != "workload":
        coordinator = f"{environment['MASTER_ADDR']}:{told['jax_port']}"
        environment["JAX_COORDINATOR_ADDRESS"] = os.environ.get("JAX_COORDINATOR_ADDRESS") or coordinator
    if plan.size > 1 and plan.rendezvous == "mpi":
        environment |= {"HOROVOD_CONTROLLER": "mpi", "HOROVOD_CPU_OPERATIONS": "mpi"}
        if plan.kind == "workload":
            # Horovod's thread asks the other ranks every millisecond, and Open MPI waits for answers by polling:
            # without this it takes the core from the step that is being computed (docs/speed.md).
            environment["OMPI_MCA_mpi_yield_when_idle"] = os.environ.get("OMPI_MCA_mpi_yield_when_idle") or "1"
    if gloo:
        environment |= horovod(rank, address, port, told["secret"])
        environment["HOROVOD_GLOO_IFACE"] = (
            os.environ.get("HOROVOD_GLOO_IFACE") or plan.network_interface or _interface(own)
        )
    return environment


def close() -> None:
    """Stop answering, because all ranks have met. Without a server, do nothing."""
    global _server
    if _server:
        _server.close()
        _server = None


def horovod(rank: Rank, address: str, port: int, secret: str) -> dict[str, str]:
    """Return the variables from which Horovod starts a rank over Gloo."""
    from launch.node.meeting.server import address_for_horovod

    values = {
        "RANK": rank.rank,
        "SIZE": rank.size,
        "LOCAL_RANK": rank.local_rank,
        "LOCAL_SIZE": rank.local_size,
        "CROSS_RANK": rank.node,
        "CROSS_SIZE": rank.nodes,
        "HOSTNAME": f"node{rank.node}",  # distinguishes the nodes of a run, even if several are one host
        "GLOO_RENDEZVOUS_ADDR": address_for_horovod(address, port, secret),
        "GLOO_RENDEZVOUS_PORT": port,
        "CONTROLLER": "gloo",
        "CPU_OPERATIONS": "gloo",
    }
    return {f"HOROVOD_{name}": str(value) for name, value in values.items()}


def _serve(addresses: list[str]) -> tuple[list[tuple[str, int]], str]:
    from launch.node.meeting.server import RendezvousServer

    global _server
    _server = RendezvousServer(addresses)
    return _server.places, _server.secret


def _wait_for(note: Path, patience_s: float) -> dict[str, Any]:
    if told := until(lambda: read_json(note), patience_s):
        return told
    raise Refusal(
        f"rank 0 did not start within {patience_s:.0f} s: see node0.log; a slow start may need a larger "
        "patience_s in the site file"
    )


def _reach(places: list[tuple[str, int]], secret: str) -> tuple[tuple[str, int], str]:
    """Return the first place at which the chief answers, and the address of this host on the way there."""
    if not secret:
        return places[0], places[0][0]
    from launch.node.meeting.server import knock

    refusals = []
    for address, port in places:
        try:
            return (address, port), knock(address, port, secret, 5)
        except OSError as error:
            refusals.append(f"{address} port {port}: {error.strerror or error}")
    raise Refusal(
        f"{socket.gethostname()} cannot reach rank 0 ({'; '.join(refusals)}): no route between the nodes? "
        "Name the interface that carries it as network_interface in the site file"
    )


_NO_IPV4 = (
    "rank 0 has no IPv4 address at which other nodes could reach it, as hosts with IPv6 only have none: name an "
    "interface that has one as network_interface in the site file, or give --rendezvous mpi"
)


def _machine() -> str:
    """Return what distinguishes this machine from others, whatever name and addresses its processes see."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def _addresses(interface: str | None) -> list[str]:
    """Return the IPv4 addresses at which others may reach this host, the most likely one first."""
    by_interface = dict(interfaces())
    if interface:
        if interface not in by_interface:
            raise Refusal(
                f"{socket.gethostname()} has no interface {interface!r} with an IPv4 address: "
                f"{', '.join(by_interface) or 'it has none at all'}"
            )
        return [by_interface[interface]]
    try:
        # The name is given as bytes: for text, Python would import the tables of international names.
        named = str(socket.getaddrinfo(socket.gethostname().encode(), None, socket.AF_INET)[0][4][0])
    except OSError:
        named = "127.0.0.1"
    # Bridges of containers and virtual machines have the same address on every host.
    virtual = ("lo", "docker", "virbr", "veth", "br-", "cni", "podman")
    real = [address for name, address in by_interface.items() if not name.startswith(virtual)]
    first = [named] if named in real else []
    return list(dict.fromkeys([*first, *real, "127.0.0.1"]))


def _interface(address: str) -> str:
    """Return the network interface that has an address."""
    return next((name for name, own in interfaces() if own == address), "lo")


_SIOCGIFCONF = 0x8912
"""From linux/sockios.h; see netdevice(7): lists the interfaces that are up, each with an IPv4 address."""


def interfaces() -> list[tuple[str, str]]:
    """Return the interfaces of this host that are up, and their IPv4 addresses. Does not use psutil, whose import takes
    50 ms."""
    size = struct.calcsize("16s16s8x")  # size of a struct ifreq, which holds a name and a struct sockaddr_in
    room = bytearray(1024 * size)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        place = (ctypes.c_char * len(room)).from_buffer(room)
        asked = struct.pack("iP", len(room), ctypes.addressof(place))
        length = struct.unpack("iP", fcntl.ioctl(way, _SIOCGIFCONF, asked))[0]
    entries = (room[first : first + size] for first in range(0, length, size))
    return [(entry[:16].partition(b"\0")[0].decode(), socket.inet_ntoa(entry[20:24])) for entry in entries]


def own_address(plan: Plan, chief: str) -> str:
    """Return the address of this host on the way to another."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
            way.connect((chief, 9))  # nothing is sent
            return way.getsockname()[0]
    except OSError:
        return "127.0.0.1" if plan.backend == "local" else _addresses(plan.network_interface)[0]


def own_port() -> int:
    """Return a free port that the kernel never assigns to a connection itself, and that no other run on this host was
    told to use."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_bytes().split())
    parts = [part for part in (range(10000, min(low, 65536)), range(max(high + 1, 10000), 65536)) if part]
    ports = list(itertools.chain.from_iterable(parts or [range(1024, 10000)]))
    first = int.from_bytes(os.urandom(4)) % len(ports)  # so two launchers that start together seldom try the same port
    for port in ports[first:] + ports[:first]:
        # Until the program listens there, a socket name reserves this port. It ends with this process and is valid for
        # this network namespace.
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0rankloop-port-{port}")
            with socket.socket() as listener:
                listener.bind(("", port))
        except OSError:
            mark.close()
            continue
        mark.detach()  # never closed
        return port
    raise Refusal(f"{socket.gethostname()} has no free port outside {low}-{high}: give one in MASTER_PORT")
