"""What srun and Slurm say in job.log about an attempt: failed ranks, lost nodes, and why Slurm ended it."""

import contextlib
import re
import signal
from pathlib import Path

from launch.errors import Refusal
from launch.plan import hostlist
from launch.record.failures.causes import NODE_FAILURE, Failure
from launch.record.files import MOST, Unreadable, read_end
from launch.record.rundir import RunDir

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

_NODE_FAILURE = re.compile(r"^(?:srun: error|launch): Node failure on (\S+)", re.MULTILINE)

# slurmstepd: error: *** JOB 27 ON node1 CANCELLED AT 2026-11-24T01:00:00 DUE TO TIME LIMIT ***
# ... DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***
# The same line about a STEP, without a reason, follows the failure of a rank.
_CANCELLED = re.compile(
    r"\*\*\* (?:JOB|STEP(?=.* DUE TO )) \S+ ON \S+ CANCELLED AT \S+(?: DUE TO ([A-Z ]+)[^*]*)? \*\*\*"
)

# As srun names them:  srun: error: node3: task 2: User defined signal 2
SIGNALS = {signal.strsignal(number): number.name for number in signal.Signals}


def ended_by_slurm(run: RunDir, attempt: int | None = None) -> str | None:
    """Return why Slurm ended an attempt, by default the last one. None if it did not; empty if a rank had failed
    before."""
    attempt = attempt or run.attempts()
    match = _CANCELLED.search(section(run, attempt))
    if match is None:
        return None
    reason = (match[1] or "cancelled").strip().lower()
    return "" if reason != NODE_FAILURE and srun_reports(run, attempt) else reason


def handles_warning(run: RunDir) -> bool:
    """Return whether the ranks save, leave and end with 75 when they are asked to, according to the plan or to the
    ranks themselves."""
    record = run.record()
    return record.get("kind") == "workload" or record.get("warn", False) or run.handles_warning.exists()


def section(run: RunDir, attempt: int) -> str:
    """Return the part of job.log about an attempt."""
    first, *others = end_of(run.job_log, MOST).split(f"{RANKS_START}\n")
    found: dict[str, str] = {}
    for before, *parts in [["", *_ATTEMPT.split(first)[1:]], *map(_ATTEMPT.split, others)]:
        parts[1:2] = [before + lines for lines in parts[1:2]]  # srun may have printed while the attempt was being begun
        found |= zip(parts[::2], parts[1::2])  # number, lines, number, lines, ...
    return found.get(str(attempt), "")


def lost_nodes(run: RunDir, attempt: int) -> list[Failure]:
    """Return the first rank of each node that the scheduler has lost. No report of other ranks explains more."""
    lost = _NODE_FAILURE.findall(section(run, attempt))
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


def not_started(run: RunDir, attempt: int) -> list[Failure]:
    """Return the first rank of the node on which srun could not start ranks; that of the first node if srun names
    none."""
    match = _NOT_STARTED.search(section(run, attempt))
    if match is None:
        return []
    host, why = match.groups()
    started = run.events("started")[max(0, attempt - 1) : attempt]
    nodes = [each for event in started for each in _hosts(event.get("nodes", ""))]
    node = nodes.index(host) if host in nodes else 0
    where = host or (nodes[0] if nodes else "its node")
    return [Failure(node * run.record()["ranks_per_node"], node, where, f"not started by srun: {why}")]


def srun_reports(run: RunDir, attempt: int) -> list[Failure]:
    """Return the ranks of an attempt that ended badly, as srun reports them, before Slurm itself ended the job."""
    found = []
    fine = ("0", "75") if handles_warning(run) else ("0",)
    ranks_per_node = run.record()["ranks_per_node"]
    # How ranks end once Slurm has ended the job shows nothing about them.
    for line in _CANCELLED.split(section(run, attempt))[0].splitlines():
        if match := _SRUN.match(line.strip()):
            host, task, what, code = match.groups()
            if code in fine:
                continue
            error = f"exit status {code}" if code else f"ended by {SIGNALS.get(what, what)}"
            rank = int(task)
            found.append(Failure(rank, rank // ranks_per_node, host, error, "", None))
    return found


def end_of(path: Path, size: int, begin: int = 0) -> str:
    """Return the last bytes of a file, after the first ``begin``. Empty if it cannot be read, which must not hide other
    reports."""
    with contextlib.suppress(Unreadable):
        return read_end(path, size, begin).decode(errors="replace")
    return ""


def _hosts(text: str) -> list[str]:
    """Return the hosts of a list that may also have been printed by a program."""
    try:
        return hostlist.expand(text)
    except Refusal:
        return []
