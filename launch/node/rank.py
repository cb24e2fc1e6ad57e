"""The rank of this process, as given by whatever started it."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from launch.errors import Refusal


class Rank(NamedTuple):
    """One process of a run."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    node: int = 0  # index of the node within the run
    nodes: int = 1
    source: str = "single"  # who said so: launch, openmpi, slurm, pmi, torchrun or single

    @property
    def is_chief(self) -> bool:
        """Whether this is rank 0, which writes what is written only once."""
        return self.rank == 0


# The variables of each starter: rank, size, local rank, local size, node, nodes. The first starter whose rank is set
# wins. Ours comes first. mpirun comes before Slurm, because under mpirun inside an allocation every process has the
# SLURM_PROCID of the batch step (0).
_SOURCES = {
    "launch": ("LAUNCH_RANK", "LAUNCH_SIZE", "LAUNCH_LOCAL_RANK", "LAUNCH_LOCAL_SIZE", "LAUNCH_NODE", "LAUNCH_NODES"),
    "openmpi": (
        "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE",
        None, None,
    ),
    "slurm": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", None, "SLURM_NODEID", "SLURM_STEP_NUM_NODES"),
    "pmi": ("PMI_RANK", "PMI_SIZE", "PMI_LOCAL_RANK", "PMI_LOCAL_SIZE", None, None),
    "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE"),
}  # fmt: skip


def from_environment(environ: Mapping[str, str] = os.environ) -> Rank:
    """Read the rank of this process from its environment.

    Parameters
    ----------
    environ : mapping
        The environment; by default that of the process.

    Returns
    -------
    Rank
        A single rank if no starter has set anything. If the starter does not give the node's index, ranks are assumed
        to fill the nodes in blocks of ``local_size``, as srun and mpirun do by default.

    Raises
    ------
    Refusal
        If the variables of one starter are incomplete or contradict each other.
    """
    for source, names in _SOURCES.items():
        if names[0] not in environ:
            continue
        # A Slurm batch script has SLURM_PROCID too; only processes that srun started have a step with tasks.
        if source == "slurm" and ("SLURM_STEP_ID" not in environ or names[1] not in environ):
            continue
        rank, size, local_rank, local_size, node, nodes = (_number(environ, name) for name in names)
        if rank is None or size is None:
            raise Refusal(
                f"{names[0]}={environ[names[0]]} is set but {names[1]} is not: start this rank with launch, srun or "
                "mpirun"
            )
        if source == "slurm":
            local_size = _local_tasks(environ, node or 0)
        block = max(1, size if local_size is None else local_size)
        found = Rank(
            rank, size,
            rank % block if local_rank is None else local_rank,
            size if local_size is None else local_size,
            rank // block if node is None else node,
            -(-size // block) if nodes is None else nodes,
            source,
        )  # fmt: skip
        within = 0 <= found.rank < found.size and 0 <= found.local_rank < found.local_size <= found.size
        if not (within and 0 <= found.node < found.nodes <= found.size):
            raise Refusal(
                f"the environment of {source} contradicts itself: {found}; start this rank with launch, srun or mpirun"
            )
        return found
    return Rank()


def environment(rank: Rank) -> dict[str, str]:
    """Return the variables that tell the workload the rank of this process, under our names and torchrun's."""
    values = (rank.rank, rank.size, rank.local_rank, rank.local_size, rank.node, rank.nodes)
    ours = dict(zip(_SOURCES["launch"], map(str, values)))
    others = dict(zip(_SOURCES["torchrun"], map(str, values)))
    return ours | others | {"NODE_RANK": str(rank.node)}


def rank_number(environ: Mapping[str, str] = os.environ) -> int:
    """Return the rank of this process for messages, even if the rest of its environment contradicts itself; 0 if it is
    not known."""
    texts = (environ.get(names[0], "") for names in _SOURCES.values())
    return next((int(text) for text in texts if text.isdecimal()), 0)


def slurm_tasks(text: str) -> list[int]:
    """Expand Slurm's tasks per node, ``4(x2),3``, to ``[4, 4, 3]``."""
    counts = []
    for part in text.split(","):
        number, _, times = part.partition("(x")
        counts += [int(number)] * int(times.rstrip(")") or 1)
    return counts


def _local_tasks(environ: Mapping[str, str], node: int) -> int | None:
    said = environ.get("SLURM_STEP_TASKS_PER_NODE")
    if said is None:
        return None
    try:
        return slurm_tasks(said)[node]
    except (ValueError, IndexError):
        raise Refusal(
            f"SLURM_STEP_TASKS_PER_NODE={said!r} does not say how many tasks are on node {node}: start this rank with "
            "launch or srun"
        ) from None


def _number(environ: Mapping[str, str], name: str | None) -> int | None:
    value = environ.get(name) if name else None
    if value is None:
        return None
    try:
        return int(value)
    except ValueError:
        raise Refusal(
            f"{name}={value!r} is not a whole number: unset it, or start this rank with launch, srun or mpirun"
        ) from None
