"""Writes a site file from what PBS reports: its hosts, GPUs, cores, queues and their limits."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from launch.backends.commands import command
from launch.backends.toml import key, string
from launch.errors import Refusal
from launch.plan.walltime import limit_text, walltime

SERVER, QUEUES, NODES = (("qstat", "-Bf"), ("qstat", "-Qf"), ("pbsnodes", "-a"))


class Kind(NamedTuple):
    """The resources of each host of a kind."""

    cpus: int
    gpus: int

    def __str__(self) -> str:
        return f"{self.cpus} CPUs, {self.gpus or 'no'} GPUs"


@dataclass(frozen=True, kw_only=True)
class Told:
    """The answers of PBS, read from JSON, and the name for the site."""

    server: Mapping[str, Any]
    queues: Mapping[str, Any]
    nodes: Mapping[str, Any]
    name: str | None = None

    def text(self) -> str:
        """Return the site file: one value per line, each with the command that it comes from."""
        server_name, server = next(iter((self.server.get("Server") or {}).items()), ("cluster", {}))
        hosts = _hosts(self.nodes.get("nodes") or {})
        kinds = Counter(hosts.values())
        lines = [
            f"# Written by `rankloop sites new` from the answers of PBS {self.server.get('pbs_version', '')}".rstrip()
            + ". Lines behind # are for you to fill in.",
            f"name = {string(self.name or server_name.partition('.')[0])}  # {_said(SERVER)}: the server",
            'description = ""  # what it is, in a line',
            '# identify = { host = "^login" }  # PBS does not tell: what a host name of this machine matches',
            'backend = "pbs"',
        ]
        if "default_queue" in server:
            lines.append(f"partition = {string(str(server['default_queue']))}  # {_said(SERVER)}: default_queue")
        lines += [f"nodes = {len(hosts)}  # {_said(NODES)}: hosts" if hosts else "# nodes = 2  # PBS lists no hosts"]
        if kinds:
            kind, _ = kinds.most_common(1)[0]
            others = "; ".join(f"{count} hosts have {other}" for other, count in kinds.most_common()[1:])
            others = f"; but {others}" if others else ""
            lines.append(
                f"cpus_per_node = {kind.cpus}  # {_said(NODES)}: ncpus, which may count hardware threads{others}"
            )
        if kinds and kind.gpus:
            lines.append(f"gpus_per_node = {kind.gpus}  # {_said(NODES)}: ngpus")
        else:
            lines.append('# gpus_per_node = 4  # PBS counts no ngpus: if there are GPUs, give gpu_resource = "" too')
        lines += [
            '# launcher = "pals"  # PBS does not tell: the mpiexec of the site; without it ranks start by pbs_tmrsh',
            '# resources = { filesystems = "home" }  # PBS does not tell: what the site wants with each job',
            '# account_option = "P"  # PBS does not tell: where accounts are projects',
            '# network_interface = "ib0"  # PBS does not tell: what `ip address` calls the fast network on a node',
            '# interconnect = "infiniband"  # PBS does not tell: infiniband or slingshot, which NCCL is to use',
            '# modules = ["cuda"]  # PBS does not tell: what `module avail` offers and the ranks need',
        ]
        for name, queue in (self.queues.get("Queue") or {}).items():
            lines += ["", *_limits(name, queue, len(hosts))]
        return "\n".join(lines) + "\n"


def ask() -> Told:
    """Ask PBS.

    Raises
    ------
    Refusal
        If it does not answer.
    """
    answers = []
    for words in (SERVER, QUEUES, NODES):
        answer = command([*words, "-F", "json"], timeout=60)
        try:
            answers.append(json.loads(answer.stdout if answer else "", strict=False))
        except ValueError:
            said = " ".join((answer.stderr if answer else "no answer").split())
            raise Refusal(f"{_said(words)} does not list what this PBS has ({said}): try again later") from None
    server, queues, nodes = answers
    return Told(server=server, queues=queues, nodes=nodes)


def _hosts(vnodes: Mapping[str, Any]) -> dict[str, Kind]:
    """Return the resources of each host, of which several virtual nodes may be parts."""
    hosts: dict[str, Kind] = {}
    for name, vnode in vnodes.items():
        has = vnode.get("resources_available") or {}
        host = str(has.get("host", name))
        before = hosts.get(host, Kind(0, 0))
        hosts[host] = Kind(before.cpus + int(has.get("ncpus", 0)), before.gpus + int(has.get("ngpus", 0)))
    return {host: kind for host, kind in hosts.items() if kind.cpus}


def _limits(name: str, queue: Mapping[str, Any], hosts: int) -> list[str]:
    most = queue.get("resources_max") or {}
    closed = ", closed just now" if str(queue.get("enabled", "True")) == "False" else ""
    said = f"{_said(QUEUES)} {name}"
    lines = [f"[partitions.{key(name)}]  # {said}: {queue.get('queue_type', 'a queue')}{closed}"]
    least = queue.get("resources_min") or {}
    if "nodect" in least:
        lines.append(f"min_nodes = {int(least['nodect'])}  # {said}: resources_min.nodect")
    if "nodect" in most:
        lines.append(f"max_nodes = {int(most['nodect'])}  # {said}: resources_max.nodect")
    elif hosts:
        lines.append(f"max_nodes = {hosts}  # {_said(NODES)}: hosts")
    if "walltime" in most and (limit := walltime(str(most["walltime"]))):
        lines.append(f'max_time = "{limit_text(limit)}"  # {said}: resources_max.walltime')
    else:
        lines.append(f"# max_time: {said} has no resources_max.walltime")
    return lines


def _said(words: tuple[str, ...]) -> str:
    return " ".join(words)
