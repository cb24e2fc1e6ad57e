"""Which rank failed first, where and why: by time, not by rank number, and without the cascade that follows."""

import re
import signal
from pathlib import Path
from typing import Any, NamedTuple

from launch.plan import hostlist
from launch.plan.plan import Plan
from launch.record.files import read_json, read_lines
from launch.record.rundir import RunDir

# What the other ranks say when one has gone: never the cause if there is another.
_CASCADE = re.compile(
    r"Horovod has been shut ?down|HorovodInternalError|Connection (closed|reset) by peer|Gloo|NCCL (timeout|watchdog)|"
    r"Socket closed|ncclSystemError|SIGTERM|did not start within|cannot reach rank .*refused|MPI_ERR_PROC_FAILED",
    re.IGNORECASE,
)

_ATTEMPT = re.compile(r"^launch: attempt (\d+)$", re.MULTILINE)  # printed by the job script at each start
# srun's report of a task:  srun: error: node3: tasks 0,2-3: Exited with exit code 1
_SRUN = re.compile(
    r"srun: error: (\S+): tasks? ([\d,\-]+): (Exited with exit code (\d+)|[A-Z][A-Za-z0-9/ ]+?)(?: \(core dumped\))?$"
)

_NODE_FAILURE = re.compile(r"^srun: error: Node failure on (\S+)", re.MULTILINE)

# slurmstepd: error: *** JOB 27 ON node1 CANCELLED AT 2026-11-24T01:00:00 DUE TO TIME LIMIT ***
# ... DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***
# The same of a STEP without a reason is said when a rank has failed.
_CANCELLED = re.compile(
    r"\*\*\* (?:JOB|STEP(?=.* DUE TO )) \S+ ON \S+ CANCELLED AT \S+(?: DUE TO ([A-Z ]+)[^*]*)? \*\*\*"
)

NODE_FAILURE = "node failure"
"""The error of a rank whose node Slurm has lost."""

# As srun names them:  srun: error: node3: task 2: User defined signal 2
SIGNALS = {signal.strsignal(number): number.name for number in signal.Signals}

# In the words of the driver (Xid 79 and others), of NVML and of the CUDA runtime.
_BROKEN_GPU = (
    r"fallen off the bus|GPU is lost|uncorrectable ECC|ECC_UNCORRECTABLE|\bXid\b|is/are busy or unavailable|"
    r"Driver/library version mismatch"
)

_KNOWN = (
    (NODE_FAILURE, "Slurm has lost the node: go on without it (resume --exclude-bad-nodes)"),
    (r"ended by (SIGKILL|Out Of Memory)|oom.?kill", "killed from outside: often the out-of-memory killer; see dmesg or the job's memory limit, and use a smaller --batch or fewer ranks on a node"),
    (r"ResourceExhausted|out of memory|OOM when|MemoryError", "out of memory: use a smaller --batch, or fewer ranks on a node"),
    (r"Diverged|loss is (nan|inf)|not finite", "the training diverged: lower --lr, lengthen --warmup, or use --scaling sqrt; resume goes on from the last checkpoint"),
    (r"No module named|ModuleNotFoundError", "a package is missing where the ranks run: see python -m launch doctor, and the modules of the site"),
    (r"No space left|Disk quota", "no room on the disk: free some, or give another --runs"),
    (r"No route to host|cannot reach rank|no interface", "the nodes do not reach each other: name the right network_interface in the site file"),
    (r"\bPMIx?\b|was not built with SLURM|MPI type|right --mpi", "MPI and srun do not understand each other: see mpi in the site file, and srun --mpi=list"),
    (_BROKEN_GPU, "a GPU of this node, or its driver, is broken: go on without the node (resume --exclude-bad-nodes), and tell the site"),
    (r"SIGSEGV|SIGBUS|SIGILL|Illegal instruction", "a crash in compiled code: see the stack in the node's log; a package built for another machine is a common cause"),
)  # fmt: skip


class Failure(NamedTuple):
    """The first failure of an attempt."""

    rank: int
    node: int | None
    host: str
    error: str  # one line: exception, exit status or signal
    traceback: str
    time: float | None
    refused: bool = False  # what was given cannot be done: nothing broke


def first_failure(run: RunDir, attempt: int) -> Failure | None:
    """The first rank that failed in an attempt, or None if none did.

    Exceptions are ordered by their time. A rank that could not say why it ended is taken from srun's or the local
    launcher's report, if nobody's own exception explains the end.
    """
    lines = [line for path in sorted(run.failures.glob("node*.jsonl")) for line in read_lines(path)]
    said = [
        Failure(*(line.get(name, False) for name in Failure._fields))
        for line in sorted(lines, key=lambda line: line["time"])
        if line["attempt"] == attempt
    ]
    spoken = {failure.rank for failure in said}
    silent = [failure for failure in _srun_reports(run, attempt) if failure.rank not in spoken]
    causes = [failure for failure in [*said, *silent] if not is_cascade(failure.error)]
    # A rank that was killed said nothing, and what the others said of it is the cascade.
    return next(iter(_lost_nodes(run, attempt) or causes or said or silent), None)


def named(run: RunDir, outcome: str) -> str:
    """An outcome, where a failure that was the refusal of a rank has a name of its own."""
    told = [event for event in run.events("ended") if event.get("first_failure")][-1:]
    refused = outcome == "failed" and any(event["first_failure"].get("refused") for event in told)
    return "refused" if refused else outcome


def is_cascade(error: str) -> bool:
    """Whether an error is what a rank says when another one has gone."""
    return _CASCADE.search(error) is not None


def is_of_the_node(error: str) -> bool:
    """Whether an error is that of a node, whatever program runs on it."""
    return error == NODE_FAILURE or re.search(_BROKEN_GPU, error, re.IGNORECASE) is not None


def suggestion(error: str) -> str | None:
    """What to do about an error that is known."""
    return next((advice for pattern, advice in _KNOWN if re.search(pattern, error, re.IGNORECASE)), None)


def paragraph(run: RunDir) -> str:
    """What is to be said of the last attempt that failed: rank, node, step, error, last lines, advice."""
    attempt = len(run.events("started"))
    ended = [event for event in run.events("ended") if event.get("attempt") == attempt]
    told = ended[-1].get("first_failure") if ended else None
    failure = Failure(**told) if told else None if ended else first_failure(run, attempt)
    if failure is None:
        last = _tail(run.job_log) or _tail(run.node_log(0))
        text = ["no rank said why it failed" + ("; the last lines are" if last else f"; see {run.logs}")]
        return "\n".join([*text, *([_indent(last)] if last else []), *_advice(last)])
    where = f"node {failure.node} ({failure.host})" if failure.node is not None else failure.host
    step = _last_step(run, failure)
    text = [f"rank {failure.rank} on {where} failed first{f', after step {step}' if step else ''}: {failure.error}"]
    last = failure.traceback.rstrip().splitlines()[-12:]
    if failure.error.startswith(("ended by", "exit status")):  # it could not say why: what it printed last may
        last = _tail(_log_of(run, failure), failure.rank)
    if last:
        text.append(_indent(last))
    return "\n".join([*text, *_advice([failure.error, failure.traceback, *last])])


def ended_by_slurm(run: RunDir, attempt: int | None = None) -> str | None:
    """Why Slurm ended an attempt, by default the last, in its words; empty if a rank had failed before, None if it did not."""
    attempt = attempt or len(run.events("started"))
    match = _CANCELLED.search(_section(run, attempt))
    if match is None:
        return None
    reason = (match[1] or "cancelled").strip().lower()
    return "" if reason != NODE_FAILURE and _srun_reports(run, attempt) else reason


def handles_warning(run: RunDir, plan: Plan) -> bool:
    """Whether the ranks save and leave when they are asked to, and end with 75 then: by its kind, as asked, or as they say."""
    return plan.handles_warning or run.handles_warning.exists()


def _section(run: RunDir, attempt: int) -> str:
    """What job.log holds of an attempt."""
    try:
        text = run.job_log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    _, *told = _ATTEMPT.split(text)  # number, lines, number, lines, ...
    return dict(zip(told[::2], told[1::2])).get(str(attempt), "")


def _lost_nodes(run: RunDir, attempt: int) -> list[Failure]:
    """The first rank of each node that Slurm has lost; nothing that anyone else says explains more."""
    lost = _NODE_FAILURE.findall(_section(run, attempt))
    if not lost:
        return []
    ranks_per_node = read_json(run.run_json)["ranks_per_node"]
    nodes = hostlist.expand(run.events("started")[attempt - 1].get("nodes", ""))
    return [
        Failure(node * ranks_per_node, node, host, NODE_FAILURE, "", None)
        for host in hostlist.expand(",".join(dict.fromkeys(lost)))
        for node in [nodes.index(host) if host in nodes else 0]
    ]


def _srun_reports(run: RunDir, attempt: int) -> list[Failure]:
    found = []
    plan = Plan.from_json(read_json(run.run_json))
    fine = ("0", "75") if handles_warning(run, plan) else ("0",)
    # What ranks end with once Slurm has ended the job says nothing of them.
    for line in _CANCELLED.split(_section(run, attempt))[0].splitlines():
        if match := _SRUN.match(line.strip()):
            host, tasks, what, code = match.groups()
            if code in fine:
                continue
            error = f"exit status {code}" if code else f"ended by {SIGNALS.get(what, what)}"
            rank = int(re.split(r"[,-]", tasks)[0])
            found.append(Failure(rank, rank // plan.ranks_per_node, host, error, "", None))
    return found


def _log_of(run: RunDir, failure: Failure) -> Path:
    return run.node_log(failure.node) if failure.node is not None else run.job_log


def _advice(lines: list[str]) -> list[str]:
    advice = suggestion("\n".join(lines))
    return [f"what to do: {advice}"] if advice else []


def _last_step(run: RunDir, failure: Failure) -> int | None:
    if failure.node is None:
        return None
    steps = [
        line["step"] for line in read_lines(run.steps / f"node{failure.node}.jsonl") if line["rank"] == failure.rank
    ]
    return steps[-1] if steps else None


def _tail(path: Path, rank: int | None = None, count: int = 12) -> list[str]:
    """The last lines of a log, of one rank or all. Read from the end: a log can be long."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 65536))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    if rank is not None:
        own = re.compile(rf"\s*{rank}: ")
        # Slurm's own words stand under the label of a node's first rank.
        lines = [line[match.end() :] for line in lines if (match := own.match(line)) and "slurmstepd-" not in line]
    return [line for line in lines if line.strip()][-count:]


def _indent(lines: list[Any]) -> str:
    return "\n".join(f"    {line}" for line in lines)
