"""Writes a site file from what Slurm reports: its nodes, GPUs, cores, partitions, limits and MPI plugins."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from launch.backends.commands import command
from launch.backends.toml import key, string
from launch.errors import Refusal

CONFIG = ("scontrol", "show", "config")
PARTITIONS = ("scontrol", "show", "partition", "--oneliner")
NODES = ("sinfo", "-h", "-e", "-o", "%P|%D|%c|%G")
MPI = ("srun", "--mpi=list")


class Kind(NamedTuple):
    """The resources of each node of a kind."""

    gpus: int
    gpu_type: str | None
    cpus: int

    def __str__(self) -> str:
        gpus = f"{self.gpus} GPUs{f' {self.gpu_type}' if self.gpu_type else ''}" if self.gpus else "no GPUs"
        return f"{gpus}, {self.cpus} CPUs"


@dataclass(frozen=True, kw_only=True)
class Told:
    """The answers of Slurm, as text, and the name for the site."""

    config: str
    partitions: str
    nodes: str
    mpi: str
    name: str | None = None

    def text(self) -> str:
        """Return the site file: one value per line, each with the command that it comes from."""
        config = dict(re.findall(r"^(\S+)\s*=\s*(.*?)\s*$", self.config, re.MULTILINE))
        partitions = [
            dict(word.split("=", 1) for word in line.split() if "=" in word) for line in self.partitions.splitlines()
        ]
        kinds = _kinds(self.nodes)
        main = _main(partitions, kinds)
        cluster = config.get("ClusterName", "cluster")
        lines = [
            f"# Written by `rankloop sites new` from the answers of Slurm {config.get('SLURM_VERSION', '')}".rstrip()
            + ". Lines behind # are for you to fill in.",
            f"name = {string(self.name or cluster)}  # {_said(CONFIG)}: ClusterName",
            'description = ""  # what it is, in a line',
            '# identify = { host = "^login" }  # Slurm does not tell: what a host name of this machine matches',
            *_main_lines(main, kinds.get(main["PartitionName"], Counter()), partitions),
            *_gpu_lines(kinds.get(main["PartitionName"], Counter()), config),
            *_mpi_lines(self.mpi, config),
            '# network_interface = "ib0"  # Slurm does not tell: what `ip address` calls the fast network on a node',
            '# interconnect = "infiniband"  # Slurm does not tell: infiniband or slingshot, which NCCL is to use',
            '# modules = ["cuda"]  # Slurm does not tell: what `module avail` offers and the ranks need',
        ]
        if "MaxArraySize" in config:
            lines.append(f"# MaxArraySize is {config['MaxArraySize']}  # {_said(CONFIG)}: asked anew for each array")
        for partition in partitions:
            lines += ["", *_limits(partition)]
        lines += ["", "# [network]  # Slurm does not tell: what rankloop simulate is to take for the links"]
        lines.append("# inter_node_gbit_per_s = 200  # all adapters of a node together, one way")
        return "\n".join(lines) + "\n"


def ask() -> Told:
    """Ask Slurm.

    Raises
    ------
    Refusal
        If no Slurm answers.
    """
    answers = [command(list(words), timeout=60) for words in (CONFIG, PARTITIONS, NODES)]
    if not all(answer and answer.returncode == 0 and answer.stdout.strip() for answer in answers):
        last = next((answer.stderr.strip().splitlines()[-1:] for answer in answers if answer and answer.stderr), [])
        raise Refusal(
            f"no Slurm, PBS or Flux answers here ({''.join(last) or 'no answer'}): do it where sinfo, pbsnodes or flux "
            "resource list shows nodes"
        )
    mpi = command(list(MPI))
    config, partitions, nodes = (answer.stdout if answer else "" for answer in answers)
    return Told(config=config, partitions=partitions, nodes=nodes, mpi=(mpi.stdout + mpi.stderr) if mpi else "")


def _kinds(nodes: str) -> dict[str, Counter[Kind]]:
    """Return the kinds of nodes of each partition, and how many nodes there are of each kind."""
    found: dict[str, Counter[Kind]] = {}
    for line in nodes.splitlines():
        partition, count, cpus, gres = line.split("|", 3)
        # gpu:a100:4(S:0-1),shard:8 or gpu:4; several types of GPU on a node count together
        gpus = re.findall(r"(?:^|,)gpu:(?:([^:,()]+):)?(\d+)", gres)
        kind = Kind(sum(int(n) for _, n in gpus), next((name for name, _ in gpus if name), None), int(cpus.rstrip("+")))
        found.setdefault(partition.rstrip("*"), Counter())[kind] += int(count)
    return found


def _main(partitions: list[dict[str, str]], kinds: dict[str, Counter[Kind]]) -> dict[str, str]:
    """Return the partition for training: the default one or, if only others have GPUs, the one with the most GPUs."""

    def worth(partition: dict[str, str]) -> tuple[bool, bool, int]:
        gpus = sum(kind.gpus * count for kind, count in kinds.get(partition["PartitionName"], Counter()).items())
        return gpus > 0, partition.get("Default") == "YES", gpus

    usable = [partition for partition in partitions if partition.get("State", "UP") == "UP"]
    return max(usable or partitions, key=worth)


def _main_lines(main: dict[str, str], kinds: Counter[Kind], partitions: list[dict[str, str]]) -> list[str]:
    reason = "the default" if main.get("Default") == "YES" else "that with the most GPUs"
    nodes = max(int(partition.get("TotalNodes", 0)) for partition in partitions)
    lines = [
        f"partition = {string(main['PartitionName'])}  # {_said(PARTITIONS)}: {reason}",
        f"nodes = {nodes}  # {_said(PARTITIONS)}: TotalNodes of the largest",
    ]
    if kinds:
        kind, _ = kinds.most_common(1)[0]
        others = "; ".join(f"{count} nodes have {other}" for other, count in kinds.most_common()[1:])
        lines.append(f"cpus_per_node = {kind.cpus}  # {_said(NODES)}: %c{f'; but {others}' if others else ''}")
        if kind.gpus:
            lines.append(f"gpus_per_node = {kind.gpus}  # {_said(NODES)}: %G")
    return lines


def _gpu_lines(kinds: Counter[Kind], config: dict[str, str]) -> list[str]:
    if not kinds or not (kind := kinds.most_common(1)[0][0]).gpus:
        return ["# gpus_per_node = 4  # Slurm knows of no GPUs in this partition"]
    select = config.get("SelectType", "")
    way = "gpus-per-node" if select.endswith("cons_tres") else "gres"
    lines = [f'gpu_request = "{way}"  # {_said(CONFIG)}: SelectType is {select or "not told"}']
    types = {other.gpu_type for other in kinds if other.gpus}
    if len(types) > 1 and kind.gpu_type:
        lines.append(f"gpu_type = {string(kind.gpu_type)}  # {_said(NODES)}: of {', '.join(sorted(map(str, types)))}")
    return [*lines, '# gpu_variable = "ROCR_VISIBLE_DEVICES"  # Slurm does not tell: for GPUs of AMD']


def _mpi_lines(listed: str, config: dict[str, str]) -> list[str]:
    plugins = re.findall(r"^\s+(\w+)\s*$", listed, re.MULTILINE)
    default = config.get("MpiDefault", "none")
    chosen = default if default != "none" else next((name for name in ("pmix", "pmi2") if name in plugins), None)
    if chosen is None:
        return [f'# mpi = "pmix"  # {_said(MPI)}: {", ".join(plugins) or "no plugins"}']
    return [f"mpi = {string(chosen)}  # {_said(MPI)}: {', '.join(plugins)}; MpiDefault is {default}"]


def _limits(partition: dict[str, str]) -> list[str]:
    said = f"{_said(PARTITIONS[:3])} {partition['PartitionName']}"
    name = partition["PartitionName"]
    lines = [f"[partitions.{key(name)}]  # {said}: State {partition.get('State', 'not told')}"]
    nodes, time = partition.get("MaxNodes", "UNLIMITED"), partition.get("MaxTime", "UNLIMITED")
    total = partition.get("TotalNodes", "0")
    most, why = (nodes, "MaxNodes") if nodes.isdigit() and int(nodes) <= int(total) else (total, "TotalNodes")
    lines.append(f"max_nodes = {most}  # {said}: {why}")
    lines.append(
        f'# max_time: {said} says "{time}"' if time == "UNLIMITED" else f'max_time = "{time}"  # {said}: MaxTime'
    )
    return lines


def _said(words: tuple[str, ...]) -> str:
    return " ".join(word for word in words if not word.startswith(("-h", "-e", "-o", "--one", "%")))
