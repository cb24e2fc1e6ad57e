"""Which network NCCL uses, according to its log, and what to report about that."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from launch.plan.plan import Plan
from launch.record.rundir import RunDir

# Lines of NCCL 2.4 to 2.30, RCCL and their plugins; before 2.7 the network is named with the connections only:
#   node1:71:90 [0] NCCL INFO NET/IB : Using [0]mlx5_0:1/IB [RO]; OOB ib0:10.0.0.1<0>
#   node1:71:90 [0] NCCL INFO NET/OFI Selected Provider is cxi (found 4 nics)
#   node1:71:90 [0] NCCL INFO Using network AWS Libfabric
#   node1:71:95 [0] NCCL INFO Channel 00/0 : 0[0] -> 8[0] [send] via NET/IB/0/GDRDMA
_USING = re.compile(r"NCCL INFO Using network (\S.*?)\s*$", re.MULTILINE)
_VIA = re.compile(r"NCCL INFO .* via NET/([^/\n]+)/")
_PROVIDER = re.compile(r"NCCL INFO NET/OFI Selected [Pp]rovider is ([^\s,(]+)")
_DEVICES = re.compile(r"NCCL INFO NET/(\S+) : Using (\[0\].*?)\s*$", re.MULTILINE)
_NO_DEVICES = re.compile(
    r"NCCL INFO (NET/\S+ ?: (?:No device found|No plugin found|Could not find).*?)\s*$", re.MULTILINE
)
_VERSION = re.compile(r"\b([NR]CCL) version (\d\S*)")

_SOCKETS = re.compile(r"Socket|(tcp|sockets|udp)\b")
"""The names of socket networks: NCCL's own, and the libfabric providers for the kernel's network, such as
tcp;ofi_rxm."""


class Network(NamedTuple):
    """The network, as NCCL describes it."""

    name: str  # as NCCL calls it: IB, IBext_v8, AWS Libfabric, gIB, Socket
    provider: str  # libfabric's provider: cxi, efa, verbs, tcp; empty without libfabric
    devices: str  # as NCCL lists them: [0]mlx5_0:1/IB [RO]; OOB ib0:10.0.0.1<0>
    library: str  # name and version, such as NCCL 2.21.5+cuda12.4
    line: str  # the line that names the network

    @property
    def is_sockets(self) -> bool:
        """Whether all traffic goes through TCP sockets, which is slow."""
        return _SOCKETS.match(self.provider or self.name) is not None


def of_log(text: str) -> Network | None:
    """Return the network in NCCL's lines, which may be mixed with others: the network of its connections, else the one
    it has chosen.

    If there are several, for several communicators, it is the first that is only sockets, else the last.
    """
    provider = ([""] + _PROVIDER.findall(text))[-1]
    version = _VERSION.search(text)
    listed = _DEVICES.findall(text)
    found = [
        Network(
            match[1],
            "" if match[1] == "Socket" else provider,
            next((devices for name, devices in listed if match[1].startswith(name)), ""),
            " ".join(version.groups()) if version else "",
            _line(text, match.start()),
        )
        for match in [*_VIA.finditer(text)] or [*_USING.finditer(text)]
    ]
    return next((each for each in found if each.is_sockets), found[-1] if found else None)


def why_sockets(text: str) -> str:
    """Return one line of NCCL about what it has not found; empty if there is none."""
    return next(iter(_NO_DEVICES.findall(text)), "")


def _line(text: str, place: int) -> str:
    return text[text.rfind("\n", 0, place) + 1 :].partition("\n")[0].strip()


def is_looked_for(plan: Plan) -> bool:
    """Return whether NCCL is asked which network it uses: only if the site or the user has said which it should be."""
    return plan.is_queued and plan.gpus_per_node > 0 and bool(plan.interconnect or plan.require_network)


def why_unseen(environ: Mapping[str, str]) -> str:
    """Return why NCCL's line cannot be seen, if the user's variables keep it from being printed or found; otherwise
    empty."""
    level, file = environ.get("NCCL_DEBUG", ""), environ.get("NCCL_DEBUG_FILE", "")
    subsystems = environ.get("NCCL_DEBUG_SUBSYS", "")
    if file:
        return f"NCCL_DEBUG_FILE={file} sends NCCL's log elsewhere"
    if level and level.upper() not in ("INFO", "TRACE"):
        return f"NCCL_DEBUG={level} prints less than INFO"
    named = {name.strip().upper() for name in subsystems.split(",")}
    if subsystems and not ({"INIT", "NET", "ALL"} & named) and "^" not in subsystems:
        return f"NCCL_DEBUG_SUBSYS={subsystems} leaves INIT and NET out"
    return ""


def problem(plan: Plan, network: Network, why: str = "") -> str:
    """Return what is wrong with the network that NCCL uses between nodes; empty if nothing is."""
    if plan.nodes < 2 or not network.is_sockets:
        return ""
    over = f"TCP sockets ({', '.join(filter(None, [network.provider, network.devices])) or network.name})"
    has = f"{plan.site} has {_NAMES[plan.interconnect]}" if plan.interconnect else "--require-network was given"
    return f"NCCL talks over {over}, and {has}" + f"; it says: {why}" * bool(why)


_NAMES = {"infiniband": "InfiniBand", "slingshot": "Slingshot"}


def said(run: RunDir) -> str:
    """Return what the user should know about the network of the last attempt; empty if nothing."""
    attempt = run.attempts()
    events = [event for event in run.events("network") if event.get("attempt") == attempt]
    return events[-1].get("reason", "") if events else ""


def as_json(network: Network) -> dict[str, Any]:
    """Return the network as env.json holds it."""
    return {name: value for name, value in network._asdict().items() if value}
