"""The failure of a rank: what its error shows about the cause, and what to do about it."""

import re
from typing import NamedTuple

from launch.record.contents import FirstFailure
from launch.record.sizes import text

# What other ranks report when one has gone: never the cause if there is another error.
_CASCADE = re.compile(
    r"Horovod has been shut ?down|HorovodInternalError|Connection (closed|reset) by peer|Gloo|NCCL (timeout|watchdog)|"
    r"Socket closed|ncclSystemError|SIGTERM|did not start within|cannot reach rank .*refused|MPI_ERR_PROC_FAILED",
    re.IGNORECASE,
)

NODE_FAILURE = "node failure"
"""The error of a rank whose node its scheduler has lost."""

# The names that the driver (Xid 79 and others), NVML and the CUDA runtime give to a broken GPU.
_BROKEN_GPU = (
    r"fallen off the bus|GPU is lost|uncorrectable ECC|ECC_UNCORRECTABLE|\bXid\b|is/are busy or unavailable|"
    r"Driver/library version mismatch"
)

# As srun and slurmstepd name it:  srun: error: node3: task 2: Out Of Memory
KILLED_FOR_MEMORY = re.compile(r"Out Of Memory|oom.?kill", re.IGNORECASE)
# Also as Python, and PyTorch on a CPU, name it.
OUT_OF_MEMORY = re.compile(rf"{KILLED_FOR_MEMORY.pattern}|\bMemoryError\b|can't allocate memory", re.IGNORECASE)
_NOT_ALLOCATED = re.compile(r"MemoryError\b|allocate memory|bad_alloc", re.IGNORECASE)
OF_THE_GPU = re.compile(r"CUDA|HIP|\bGPU\b|cuBLAS|cuDNN|NCCL")

_PACKAGE = (
    "a package is missing for the Python of the ranks, which is the one that runs rankloop: install it there "
    "(PYTHON -m pip install PACKAGE), or start the rankloop that is installed beside it; see rankloop doctor, and the "
    "modules of the site"
)
_PACKAGE_OF_IMAGE = (
    "the image lacks a package: make an environment that adds it to those of the image, and name its Python as "
    "container_python in the site file, as docs/howto/containers.md shows"
)

# The parts in braces are for workloads: other programs may not have these options. For "(less)" see `_less`.
_KNOWN = (
    (NODE_FAILURE, "the scheduler has lost the node: continue without it (resume; under Slurm with "
        "--exclude-bad-nodes)"),
    (r"NCCL talks over TCP", "have NCCL find its network: on Slingshot load the site's aws-ofi-nccl plugin; on "
        "InfiniBand look in the environment for NCCL_NET, NCCL_IB_DISABLE and NCCL_IB_HCA"),
    (r"Job credential expired", "srun could not start the ranks on a node, which answered late or has another clock: "
        "start it again with resume, and tell the site if it happens again"),
    (r"ended by (SIGKILL|Out Of Memory)|oom.?kill", "killed from outside: often the out-of-memory killer; see dmesg "
        "or the job's memory limit, and (less)"),
    (r"(CUDA|HIP)\w*[ _](error: )?out[ _]of[ _]memory|OOM when.*device:GPU|RESOURCE_EXHAUSTED.*(GPU|CUDA|HBM)",
        "the memory of the GPU is full: give each rank less at a time{, by a smaller --batch}"),
    (r"ResourceExhausted|out of memory|OOM when|MemoryError", "out of memory: (less)"),
    (r"Diverged|loss is (nan|inf)|not finite", "{the training diverged: lower --lr, lengthen --warmup, or use "
        "--lr-scaling sqrt; resume continues from the last checkpoint}"),
    (r"No module named|ModuleNotFoundError", _PACKAGE),
    (r"No space left|Disk quota", "no room on the disk: free some, or give another --runs"),
    (r"gloo::\w*(Exception|NotMet)", "another program has connected to a port at which the ranks wait for each other, "
        "or one of them has gone: start it again with resume; a network_interface (site file) that only the nodes "
        "share keeps others out"),
    (r"No route to host|cannot reach rank|no interface", "the nodes do not reach each other: name the right "
        "network_interface in the site file"),
    (r"\bPMIx?\b|was not built with SLURM|MPI type|right --mpi", "MPI and srun do not understand each other: see mpi "
        "in the site file, and srun --mpi=list"),
    (_BROKEN_GPU, "a GPU of this node, or its driver, is broken: continue without the node (resume "
    "--exclude-bad-nodes), "
        "and tell the site"),
    (r"SIGSEGV|SIGBUS|SIGILL|Illegal instruction", "a crash in compiled code: see the stack in the node's log; a "
        "package built for another machine is a common cause"),
)  # fmt: skip


class Failure(NamedTuple):
    """The first failure of an attempt."""

    rank: int
    node: int | None
    host: str
    error: str  # one line: exception, exit status or signal
    traceback: str = ""
    time: float | None = None
    refused: bool = False  # bad input: nothing broke
    address_space: int | None = None  # most bytes that a process may map, if the node has more memory


def failure_of(record: FirstFailure) -> Failure:
    """Return a failure as recorded, perhaps by another version of the toolkit."""
    traceback, refused = record.get("traceback") or "", bool(record.get("refused"))
    error = without_preamble(record["error"])
    return Failure(
        record["rank"], record.get("node"), record["host"], error, traceback, record.get("time"), refused,
        record.get("address_space"),
    )  # fmt: skip


def without_preamble(error: str) -> str:
    """Return the error itself, where TensorFlow puts the lines of the user's code before it (``in user code: ...``)."""
    first, *rest = error.strip().splitlines() or [""]
    return rest[-1].strip() if rest and first.rstrip().endswith(" in user code:") else error


def is_cascade(error: str) -> bool:
    """Return whether an error is one that ranks report when another one has gone."""
    return _CASCADE.search(error) is not None


def is_crash(error: str) -> bool:
    """Return whether a process ended by a signal that its own code has caused."""
    return re.fullmatch(r"ended by SIG(SEGV|BUS|FPE|ILL)", error) is not None


def is_of_the_node(error: str) -> bool:
    """Return whether an error is the node's, whatever program runs on it."""
    return error == NODE_FAILURE or re.search(_BROKEN_GPU, error, re.IGNORECASE) is not None


def suggestion(
    error: str, workload: bool, in_image: bool = False, ranks: int = 2, address_space: int | None = None
) -> str:
    """Return what to do about an error; empty if not known.

    Parameters
    ----------
    error : str
        The error, and what was printed about it.
    workload : bool
        Whether the ranks run a workload, and not another program.
    in_image : bool
        Whether they run in a container.
    ranks : int
        Number of ranks that share the memory of a node.
    address_space : int, optional
        Most bytes that a process may map, if the node has more memory.
    """
    if address_space is not None and _NOT_ALLOCATED.search(error) and not KILLED_FOR_MEMORY.search(error):
        return (
            f"the address space of a process is limited to {text(address_space)} (ulimit -v): raise that limit before "
            "you start the run; more memory for the job changes nothing"
        )
    advice = next((advice for pattern, advice in _KNOWN if re.search(pattern, error, re.IGNORECASE)), "")
    if in_image and advice is _PACKAGE:
        return _PACKAGE_OF_IMAGE
    return re.sub(r"\{(.*?)\}", r"\1" if workload else "", advice).replace("(less)", _less(workload, ranks))


def _less(workload: bool, ranks: int) -> str:
    """Return how a rank gets along with the memory that there is, or that it needs more."""
    ways = ["fewer ranks on a node"] * (ranks > 1) + ["a smaller --batch"] * workload
    return f"use {' or '.join(ways)}" if ways else "give the rank more memory"
