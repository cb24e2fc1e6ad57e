"""Writes a site file from what Flux reports: its nodes, GPUs, cores, queues and their limits."""

import platform
import re
from dataclasses import dataclass

from launch.backends.commands import command
from launch.backends.toml import key, string
from launch.errors import Refusal
from launch.plan.walltime import limit_text

RESOURCES = ("flux", "resource", "list", "-s", "all", "-no", "{nnodes} {ncores} {ngpus} {propertiesx}")
QUEUES = ("flux", "queue", "list", "-no", "{queuem} {limits.timelimit} {limits.max.nnodes}")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, kw_only=True)
class Told:
    """The answers of Flux, as text, the host that was asked, and the name for the site."""

    resources: str
    queues: str
    host: str
    name: str | None = None

    def text(self) -> str:
        """Return the site file: one value per line, each with the command that it comes from."""
        rows = [line.split(maxsplit=3) for line in self.resources.splitlines() if re.match(r"\s*[1-9]", line)]
        queues = [line.split() for line in self.queues.splitlines() if len(line.split()) == 3]
        short = re.sub(r"\d*(\..*)?$", "", self.host)
        default = next((name for name, *_ in queues if name.endswith("*")), None)
        total = sum(int(row[0]) for row in rows)
        lines = [
            "# Written by `rankloop sites new` from the answers of Flux. Lines behind # are for you to fill in.",
            f"name = {string(self.name or short or 'cluster')}  # the name of this host, without its number",
            'description = ""  # what it is, in a line',
            f"# identify = {{ host = {string(f'^{short}')} }}  # what a host name of this machine matches",
            'backend = "flux"',
        ]
        if default:
            lines.append(f"partition = {string(default.removesuffix('*'))}  # {_said(QUEUES)}: the default")
        lines += _nodes(rows, total)
        lines += [
            '# gpu_variable = "ROCR_VISIBLE_DEVICES"  # Flux does not tell: for GPUs of AMD',
            '# launcher_args = ["--exclusive"]  # Flux does not tell: what the site wants of flux run',
            '# network_interface = "hsi0"  # Flux does not tell: what `ip address` calls the fast network on a node',
            '# interconnect = "slingshot"  # Flux does not tell: infiniband or slingshot, which NCCL is to use',
            '# modules = ["rocm"]  # Flux does not tell: what `module avail` offers and the ranks need',
        ]
        for name, time, nodes in queues:
            lines += ["", f"[partitions.{key(name.removesuffix('*'))}]  # {_said(QUEUES)}"]
            most = int(nodes) if nodes.isdigit() else total
            why = f"{_said(QUEUES)}: limits.max.nnodes" if nodes.isdigit() else f"{_said(RESOURCES)}: nnodes"
            lines.append(f"max_nodes = {most}  # {why}")
            seconds = _seconds(time)
            lines.append(
                f'max_time = "{limit_text(seconds)}"  # {_said(QUEUES)}: limits.timelimit'
                if seconds
                else f"# max_time: {_said(QUEUES)} says {time}"
            )
        return "\n".join(lines) + "\n"


def ask() -> Told:
    """Ask Flux.

    Raises
    ------
    Refusal
        If it does not answer.
    """
    answers = [command(list(words), timeout=60) for words in (RESOURCES, QUEUES)]
    for words, answer in zip((RESOURCES, QUEUES), answers):
        if answer is None or answer.returncode:
            said = " ".join((answer.stderr if answer else "no answer").split())
            raise Refusal(f"{_said(words)} does not tell what this Flux has ({said}): try again later")
    resources, queues = (answer.stdout if answer else "" for answer in answers)
    return Told(resources=resources, queues=queues, host=platform.node())


def _nodes(rows: list[list[str]], total: int) -> list[str]:
    """Return the lines about the resources of a node, for the most common kind of node."""
    if not rows:
        return ["# nodes = 2  # Flux lists no resources"]
    said = _said(RESOURCES)
    nodes, cores, gpus = (int(word) for word in max(rows, key=lambda row: int(row[0]))[:3])
    others = "; ".join(
        f"{row[0]} nodes have {int(row[1]) // int(row[0])} cores, {int(row[2]) // int(row[0])} GPUs"
        for row in rows
        if int(row[1]) * nodes != cores * int(row[0]) or int(row[2]) * nodes != gpus * int(row[0])
    )
    lines = [
        f"nodes = {total}  # {said}: nnodes",
        f"cpus_per_node = {cores // nodes}  # {said}: ncores{f'; but {others}' if others else ''}",
    ]
    if gpus:
        lines.append(f"gpus_per_node = {gpus // nodes}  # {said}: ngpus")
    return lines


def _seconds(time: str) -> int | None:
    """Return a duration as Flux writes it, such as 90m; None if there is no limit."""
    match = re.fullmatch(r"([0-9.]+)([smhd]?)", time)
    return int(float(match[1]) * _SECONDS[match[2]]) if match else None


def _said(words: tuple[str, ...]) -> str:
    return " ".join(words[:3])
