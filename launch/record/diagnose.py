"""Finds which rank failed first, where and why: by time, not by rank number, and without the cascade that follows."""

import contextlib
import os
import re
import signal
from pathlib import Path
from typing import Any, NamedTuple

from launch import HOME
from launch.errors import Refusal
from launch.plan import hostlist
from launch.record import job
from launch.record.contents import FirstFailure, Hang
from launch.record.files import MOST, Unreadable, read_end, read_lines
from launch.record.rundir import RunDir
from launch.record.steps import StepReader

# What other ranks report when one has gone: never the cause if there is another error.
_CASCADE = re.compile(
    r"Horovod has been shut ?down|HorovodInternalError|Connection (closed|reset) by peer|Gloo|NCCL (timeout|watchdog)|"
    r"Socket closed|ncclSystemError|SIGTERM|did not start within|cannot reach rank .*refused|MPI_ERR_PROC_FAILED",
    re.IGNORECASE,
)

RANKS_START = "launch: ranks start"
"""A line of the job script, after which srun may print."""

_ATTEMPT = re.compile(r"^launch: attempt ([0-9]{1,9})$", re.MULTILINE)  # printed by the job script at each start
# srun's report of a task:  srun: error: node3: tasks 0,2-3: Exited with exit code 1
_SRUN = re.compile(
    r"srun: error: (\S+): tasks? ([0-9]{1,9})[0-9,\-]*: "
    r"(Exited with exit code ([0-9]{1,9})|[A-Z][A-Za-z0-9/ ]+?)(?: \(core dumped\))?$"
)

# srun: error: Task launch for StepId=7.0 failed on node node2: Job credential expired
# srun: error: Application launch failed: Job credential expired
_NOT_STARTED = re.compile(
    r"^srun: error: (?:Application launch failed|Task launch for \S+ failed on node (\S+)): (.+)$", re.MULTILINE
)

_NODE_FAILURE = re.compile(r"^srun: error: Node failure on (\S+)", re.MULTILINE)

# slurmstepd: error: *** JOB 27 ON node1 CANCELLED AT 2026-11-24T01:00:00 DUE TO TIME LIMIT ***
# ... DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***
# The same line about a STEP, without a reason, follows the failure of a rank.
_CANCELLED = re.compile(
    r"\*\*\* (?:JOB|STEP(?=.* DUE TO )) \S+ ON \S+ CANCELLED AT \S+(?: DUE TO ([A-Z ]+)[^*]*)? \*\*\*"
)

NODE_FAILURE = "node failure"
"""The error of a rank whose node Slurm has lost."""

# As srun names them:  srun: error: node3: task 2: User defined signal 2
SIGNALS = {signal.strsignal(number): number.name for number in signal.Signals}

# As the driver (Xid 79 and others), NVML and the CUDA runtime name it.
_BROKEN_GPU = (
    r"fallen off the bus|GPU is lost|uncorrectable ECC|ECC_UNCORRECTABLE|\bXid\b|is/are busy or unavailable|"
    r"Driver/library version mismatch"
)

# As srun and slurmstepd, Python, and PyTorch on a CPU name it:  srun: error: node3: task 2: Out Of Memory
_OUT_OF_MEMORY = re.compile(r"Out Of Memory|oom.?kill|\bMemoryError\b|can't allocate memory", re.IGNORECASE)
_OF_THE_GPU = re.compile(r"CUDA|HIP|\bGPU\b|cuBLAS|cuDNN|NCCL")

# The parts in braces are for workloads: other programs may not have these options.
_KNOWN = (
    (NODE_FAILURE, "Slurm has lost the node: continue without it (resume --exclude-bad-nodes)"),
    (r"NCCL talks over TCP", "have NCCL find its network: on Slingshot load the site's aws-ofi-nccl plugin; on "
        "InfiniBand look in the environment for NCCL_NET, NCCL_IB_DISABLE and NCCL_IB_HCA"),
    (r"Job credential expired", "srun could not start the ranks on a node, which answered late or has another clock: "
        "start it again with resume, and tell the site if it happens again"),
    (r"ended by (SIGKILL|Out Of Memory)|oom.?kill", "killed from outside: often the out-of-memory killer; see dmesg "
        "or the job's memory limit, and use fewer ranks on a node{ or a smaller --batch}"),
    (r"ResourceExhausted|out of memory|OOM when|MemoryError", "out of memory: use fewer ranks on a node{, or a "
        "smaller --batch}"),
    (r"Diverged|loss is (nan|inf)|not finite", "{the training diverged: lower --lr, lengthen --warmup, or use "
        "--lr-scaling sqrt; resume continues from the last checkpoint}"),
    (r"No module named|ModuleNotFoundError", "a package is missing for the Python of the ranks, which is the one that "
        "runs rankloop: install it there, or start the rankloop that is installed beside it; see rankloop doctor, and "
        "the modules of the site"),
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


def _failure(record: FirstFailure) -> Failure:
    """A failure as recorded, perhaps by another version of the toolkit."""
    traceback, refused = record.get("traceback") or "", bool(record.get("refused"))
    return Failure(
        record["rank"], record.get("node"), record["host"], record["error"], traceback, record.get("time"), refused
    )


def first_failure(run: RunDir, attempt: int) -> Failure | None:
    """The first rank that failed in an attempt, or None if none did.

    Exceptions are ordered by time. If no rank's own exception explains the end, the report of srun or the local
    launcher names a rank that could not say why it ended.
    """
    records: list[FirstFailure] = []
    for path in sorted(run.failures.glob("node*.jsonl")):
        with contextlib.suppress(Unreadable):
            records += read_lines(path, FirstFailure)
    said = [
        _failure(record)
        for record in sorted(records, key=lambda record: record.get("time") or 0.0)
        if record.get("attempt") == attempt
    ]
    spoken = {failure.rank for failure in said}
    silent = [failure for failure in _srun_reports(run, attempt) if failure.rank not in spoken]
    causes = [failure for failure in [*said, *silent] if not is_cascade(failure.error)]
    # A rank that was killed reported nothing, and what the others reported is the cascade.
    outside = _lost_nodes(run, attempt) or _not_started(run, attempt)
    return next(iter(outside or causes or said or silent), None)


def named(run: RunDir, outcome: str) -> str:
    """The outcome, with a name of its own for a failure that was a rank's refusal."""
    failures = [failure for event in run.events("ended") if (failure := event.get("first_failure"))]
    return "refused" if outcome == "failed" and failures and failures[-1].get("refused") else outcome


def is_cascade(error: str) -> bool:
    """Whether an error is one that ranks report when another one has gone."""
    return _CASCADE.search(error) is not None


def is_of_the_node(error: str) -> bool:
    """Whether an error is the node's, whatever program runs on it."""
    return error == NODE_FAILURE or re.search(_BROKEN_GPU, error, re.IGNORECASE) is not None


def ran_out_of_memory(run: RunDir) -> bool:
    """Whether the last attempt certainly ended because the node's memory, not a GPU's, ran out."""
    attempt = len(run.events("started"))
    ended = [event for event in run.events("ended") if event.get("attempt") == attempt]
    failure = (ended[-1].get("first_failure") if ended else None) or {}
    said = "\n".join([failure.get("error", ""), failure.get("traceback", ""), _section(run, attempt)])
    return _OF_THE_GPU.search(said) is None and _OUT_OF_MEMORY.search(said) is not None


def suggestion(error: str, workload: bool) -> str:
    """What to do about an error of a workload or another program; empty if not known."""
    advice = next((advice for pattern, advice in _KNOWN if re.search(pattern, error, re.IGNORECASE)), "")
    return re.sub(r"\{(.*?)\}", r"\1" if workload else "", advice)


def paragraph(run: RunDir) -> str:
    """The report on the last attempt that failed: rank, node, step, error, last lines, advice."""
    attempt = len(run.events("started"))
    ended = [event for event in run.events("ended") if event.get("attempt") == attempt]
    record = ended[-1].get("first_failure") if ended else None
    failure = _failure(record) if record else None if ended else first_failure(run, attempt)
    if ended and (hang := ended[-1].get("hang")):
        return "\n".join([f"hung: {hang.get('said')}", *_stack(run, attempt, hang)])
    if failure is None and ended and (reason := ended[-1].get("reason")):
        return reason
    if failure is None:
        made_by = job.latest([run]).get(run.path)  # the job may have ended before the run's turn
        last = _tail(run.job_log) or _tail(run.node_log(0)) or (_tail(made_by.log) if made_by else [])
        if not last and _left_nothing(run, made_by):
            return (
                f"its job left nothing in {run.path}: is this folder seen on the nodes? Start the run in one that "
                "they share (--runs), not on a disk of this machine"
            )
        text = ["no rank said why it failed" + ("; the last lines are" if last else f"; see {run.logs}")]
        return "\n".join([*text, *([_indent(last)] if last else []), *_advice(run, last)])
    where = f"node {failure.node} ({failure.host})" if failure.node is not None else failure.host
    step = _last_step(run, failure)
    text = [
        f"rank {failure.rank} on {where} failed first{f', after step {step}' if step else ''}: "
        f"{_headline(failure.error)}"
    ]
    last = failure.traceback.rstrip().splitlines()[-12:]
    if failure.error.startswith(("ended by", "exit status")):  # the rank could not say why; its last output may
        last = _without_dump(_tail(_log_of(run, failure), failure.rank, 100, _printed_before(run, failure.node)))
    if last:
        text.append(_indent(last))
    return "\n".join([*text, *_advice(run, [failure.error, failure.traceback, *last])])


def _stack(run: RunDir, attempt: int, hang: Hang) -> list[str]:
    """The stack of the main thread of the rank that is behind in a hung run, innermost frame first."""
    if "rank" not in hang or "node" not in hang:
        return []
    text = _end(run.node_stacks(attempt, hang["node"]), MOST)
    _, found, own = f"\n{text}".partition(f"\nrank {hang['rank']} on ")
    own = own.split("\nrank ")[0]  # an empty line separates two ranks
    *_, main = re.split(r"\n(?:Current t|T)hread 0x.*\n", own)
    ours = os.path.join(HOME, "launch")
    frames = [line.strip() for line in main.splitlines() if line.startswith("  File ") and ours not in line]
    return [_indent(frames[:8])] if found and frames else []


def _left_nothing(run: RunDir, made_by: job.Job | None) -> bool:
    """Whether a job on other machines has ended without a trace in the run."""
    if made_by is None or made_by.backend == "local":
        return False
    return all(event.get("submission") != made_by.number for event in run.events("started"))


def _without_dump(lines: list[str]) -> list[str]:
    """The last lines, or those around the crash if Python has listed all its threads and modules after it."""
    fatal = next((place for place, line in enumerate(lines) if line.startswith("Fatal Python error")), None)
    return lines[-12:] if fatal is None else lines[max(0, fatal - 4) : fatal + 8]


def ended_by_slurm(run: RunDir, attempt: int | None = None) -> str | None:
    """Why Slurm ended an attempt, by default the last one. None if it did not; empty if a rank had failed before."""
    attempt = attempt or len(run.events("started"))
    match = _CANCELLED.search(_section(run, attempt))
    if match is None:
        return None
    reason = (match[1] or "cancelled").strip().lower()
    return "" if reason != NODE_FAILURE and _srun_reports(run, attempt) else reason


def handles_warning(run: RunDir) -> bool:
    """Whether the ranks save, leave and end with 75 when they are asked to, according to the plan or to the ranks
    themselves."""
    record = run.record()
    return record.get("kind") == "workload" or record.get("warn", False) or run.handles_warning.exists()


def _section(run: RunDir, attempt: int) -> str:
    """The part of job.log about an attempt."""
    first, *others = _end(run.job_log, MOST).split(f"{RANKS_START}\n")
    found: dict[str, str] = {}
    for before, *parts in [["", *_ATTEMPT.split(first)[1:]], *map(_ATTEMPT.split, others)]:
        parts[1:2] = [before + lines for lines in parts[1:2]]  # srun may have printed while the attempt was being begun
        found |= zip(parts[::2], parts[1::2])  # number, lines, number, lines, ...
    return found.get(str(attempt), "")


def _lost_nodes(run: RunDir, attempt: int) -> list[Failure]:
    """The first rank of each node that Slurm has lost. No report of other ranks explains more."""
    lost = _NODE_FAILURE.findall(_section(run, attempt))
    if not lost:
        return []
    ranks_per_node = run.record()["ranks_per_node"]
    started = run.events("started")[max(0, attempt - 1) : attempt]
    nodes = [host for event in started for host in _hosts(event.get("nodes", ""))]
    return [
        Failure(node * ranks_per_node, node, host, NODE_FAILURE, "", None)
        for host in _hosts(",".join(dict.fromkeys(lost)))
        for node in [nodes.index(host) if host in nodes else 0]
    ]


def _not_started(run: RunDir, attempt: int) -> list[Failure]:
    """The first rank of the node on which srun could not start ranks; that of the first node if srun names none."""
    match = _NOT_STARTED.search(_section(run, attempt))
    if match is None:
        return []
    host, why = match.groups()
    started = run.events("started")[max(0, attempt - 1) : attempt]
    nodes = [each for event in started for each in _hosts(event.get("nodes", ""))]
    node = nodes.index(host) if host in nodes else 0
    where = host or (nodes[0] if nodes else "its node")
    return [Failure(node * run.record()["ranks_per_node"], node, where, f"not started by srun: {why}")]


def _srun_reports(run: RunDir, attempt: int) -> list[Failure]:
    found = []
    fine = ("0", "75") if handles_warning(run) else ("0",)
    ranks_per_node = run.record()["ranks_per_node"]
    # How ranks end once Slurm has ended the job shows nothing about them.
    for line in _CANCELLED.split(_section(run, attempt))[0].splitlines():
        if match := _SRUN.match(line.strip()):
            host, task, what, code = match.groups()
            if code in fine:
                continue
            error = f"exit status {code}" if code else f"ended by {SIGNALS.get(what, what)}"
            rank = int(task)
            found.append(Failure(rank, rank // ranks_per_node, host, error, "", None))
    return found


def _log_of(run: RunDir, failure: Failure) -> Path:
    return run.node_log(failure.node) if failure.node is not None else run.job_log


def _advice(run: RunDir, lines: list[str]) -> list[str]:
    advice = suggestion("\n".join(lines), run.record().get("kind") == "workload")
    return [f"what to do: {advice}"] if advice else []


def _last_step(run: RunDir, failure: Failure) -> int | None:
    if failure.node is None:
        return None
    with contextlib.suppress(Unreadable):
        reader = StepReader(run)
        for path in (run.node_steps(failure.node), run.rank_steps(failure.rank)):
            lines = read_end(path, 2**22).split(b"\n")
            own = [record["step"] for record in reader.steps(path, lines) if record["rank"] == failure.rank]
            if own:
                return own[-1]
    return None


def _end(path: Path, size: int, begin: int = 0) -> str:
    """The last bytes of a file, after the first ``begin``. Empty if it cannot be read, which must not hide other
    reports."""
    with contextlib.suppress(Unreadable):
        return read_end(path, size, begin).decode(errors="replace")
    return ""


def _hosts(text: str) -> list[str]:
    """The hosts of a list that may also have been printed by a program."""
    try:
        return hostlist.expand(text)
    except Refusal:
        return []


def _printed_before(run: RunDir, node: int | None) -> int:
    """Bytes of a node's log that belong to earlier attempts."""
    started = run.events("started")
    begins = started[-1].get("logs", []) if started and node is not None else []
    return begins[node] if node is not None and node < len(begins) else 0


def _tail(path: Path, rank: int | None = None, count: int = 12, begin: int = 0) -> list[str]:
    """The last lines of a log after its first ``begin`` bytes, of one rank or all. Read from the end: a log can be
    long."""
    lines = _end(path, 65536, begin).splitlines()
    if rank is not None:
        own = re.compile(rf"\s*{rank}: ")
        # Slurm's own messages have the label of a node's first rank.
        lines = [line[match.end() :] for line in lines if (match := own.match(line)) and "slurmstepd-" not in line]
    return [line for line in lines if line.strip()][-count:]


def _headline(error: str) -> str:
    """An error on one line. The rest of it is in its traceback, or in the rank's last output."""
    first, newline, _ = error.strip().partition("\n")
    return f"{first.rstrip()} ..." if newline else first


def _indent(lines: list[Any]) -> str:
    return "\n".join(f"    {line}" for line in lines)
