"""Asks Slurm for the states of jobs and the limits of arrays and partitions; -a includes hidden partitions."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from launch.backends import submission
from launch.backends.commands import command
from launch.backends.scheduler import ENDED, QUEUED, RUNNING, Answer, Status
from launch.errors import Refusal, nearest
from launch.errors import command as to_type
from launch.plan.plan import Plan
from launch.plan.shape import nodes_text
from launch.plan.walltime import exceeds, limit_text, walltime
from launch.record.files import read_json
from launch.record.writing import publish_json

SILENT = r"(?i)Unable to contact|timed out|Connection refused|Zero Bytes|Communication connection|temporarily unable"
"""What Slurm's commands say when the controller does not answer."""

_WAITING = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
_OUTCOMES = {"TIMEOUT": "timeout", "DEADLINE": "timeout", "CANCELLED": "cancelled", "PREEMPTED": "stopped"}
# The states that a job does not leave again.
_ENDED = {"COMPLETED", "FAILED", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "REVOKED", *_OUTCOMES}

_FORMAT = "%i|%A|%T|%r|%N|%o|%k"  # task of an array as 12_3, its own number, state, reason, nodes, script, comment
FRESH_S = 5.0  # time for which all processes reuse a shared answer, or the lack of one
TIMEOUT_S = 10.0  # as long as Slurm's own commands wait (MessageTimeout)

_OWN = {
    r"-N|--nodes(=|$)": "--nodes",
    r"-n|--ntasks(=|$)": "--nodes and --ranks-per-node",
    r"-t|--time(=|$)": "--time",
    r"-a|--array(=|$)": "--sweep or --repeats",
    r"-D|--chdir(=|$)": "the command in that folder",
    r"--wrap(=|$)": "-- and the command",
    r"-W$|--wait(=|$)": "--wait",
    r"--test-only$": "--dry-run",
}


def ask(numbers: Sequence[str]) -> Answer:
    """Return what squeue reports about jobs now. It has forgotten jobs that left the queue some minutes ago
    (MinJobAge)."""
    if not numbers:
        return Answer({})
    answer = command(["squeue", "-a", "-h", "--array", "-t", "all", "-j", ",".join(numbers), "-o", _FORMAT], TIMEOUT_S)
    if answer is not None and "Invalid job id" in answer.stderr:  # the whole answer, if only one job was asked about
        return Answer({}) if len(numbers) == 1 else _ask_all()
    return _answer(answer)


def ask_shared() -> Answer:
    """Return what squeue reports about every job of this user, from an answer that all processes of the user share for
    some seconds.

    The answer is in a file in the cache folder, so that many watching processes of a host ask no more often than one.
    Another host may belong to another cluster.
    """
    of = f"{socket.gethostname()} {os.environ.get('SLURM_CONF', '')}"
    name = f"squeue-{hashlib.sha256(os.fsencode(of)).hexdigest()[:12]}"
    with contextlib.ExitStack() as held:
        try:
            folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "rankloop"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = held.enter_context(open(folder / f"{name}.lock", "ab"))
            fcntl.flock(lock, fcntl.LOCK_EX)  # while another process asks, wait for its answer
        except OSError:
            return _ask_all()  # there is no place to share it
        shared = folder / f"{name}.json"
        answer = _kept(shared)
        if answer is None:
            answer = _ask_all()
            with contextlib.suppress(OSError):  # a full disk: the next process asks for itself
                publish_json(shared, {"time": time.time(), **answer._asdict()})
        return answer


def answers() -> bool:
    """Return whether the controller answers."""
    answer = command(["squeue", "--me", "-a", "-h"], TIMEOUT_S)
    return answer is not None and answer.returncode == 0


def largest_array() -> int:
    """Return how many tasks an array may have."""
    return max(1, int(_config().get("MaxArraySize", 1001)))  # Slurm's default


def cluster() -> str:
    """Return the name and the controller of this cluster; empty if the controller does not answer."""
    with contextlib.suppress(KeyError):
        return _cluster(os.environ.get("SLURM_CONF"))
    return ""


@functools.cache  # a launcher asks again and again; an exception is not kept
def _cluster(conf: str | None) -> str:
    config = _config()
    return f"{config['ClusterName']} (controller {config['SlurmctldHost[0]']}:{config['SlurmctldPort']})"


def _config() -> dict[str, str]:
    """Return what the controller says of its configuration; empty if it does not answer."""
    answer = command(["scontrol", "show", "config"], TIMEOUT_S)
    return dict(re.findall(r"(?m)^(\S+)[ \t]*=[ \t]*(\S+)", answer.stdout if answer else ""))


def refuse_unfollowable(plan: Plan) -> None:
    """Refuse jobs that sbatch would accept but squeue and scancel would not know, or know only in part."""
    options = [*plan.sbatch_args, *(f"--{name}={value}" for name, value in plan.directives.items())]
    options += [f"--clusters={value}" for name, value in plan.inherited.items() if name.endswith("_CLUSTERS")]
    if word := next((word for word in options if re.match(r"-M|--clusters?(=|$)", word)), None):
        raise Refusal(
            f"{word} sends the job to another cluster, and squeue and scancel would ask this one about it: launch it "
            "on a login node of that cluster, or where SLURM_CONF names its slurm.conf"
        )
    parts = [word for word in [*options, *plan.srun_args] if re.match(r":$|--hetjob|--het-group", word)]
    if parts:
        raise Refusal(
            f"{parts[0]} makes a heterogeneous job, whose parts have ranks and nodes of their own: make each part a "
            "run, and of runs of different shapes a workflow"
        )
    if word := next((word for word in options if re.match(r"-[oe]|--(output|error)(=|$)", word)), None):
        raise Refusal(
            f"{word} would put the job's log elsewhere than into the run, where its state is looked up: leave it out; "
            f"{to_type('logs RUN --job')} shows logs/job.log of the run"
        )
    submission.refuse_own(plan, _OWN)


def check_partition_limits(plan: Plan) -> None:
    """Refuse what Slurm would accept but never start; warn of what looks wrong but may be right."""
    answer = command(["sinfo", "-a", "-h", "-o", "%P|%D|%l|%s"], timeout=5)
    if not answer or answer.returncode:
        return  # Slurm is silent; the submission will ask again
    partitions: dict[str, tuple[int, str, str]] = {}
    default = None
    for line in answer.stdout.split():
        name, nodes, limit, a_job = line.split("|")
        default = name.rstrip("*") if name.endswith("*") else default
        have = partitions.get(name.rstrip("*"), (0, limit, a_job))[0]  # there is a line for each kind of node
        partitions[name.rstrip("*")] = have + int(nodes), limit, a_job
    wanted = plan.partition or default
    if wanted is None or "," in wanted:
        return
    if wanted not in partitions:
        print(f"launch: sinfo lists no partition {wanted!r} ({nearest(wanted, partitions)})", file=sys.stderr)
        return
    nodes, limit, a_job = partitions[wanted]
    least, _, most = a_job.partition("-")
    nodes = min(nodes, int(most)) if most.isdigit() else nodes
    if plan.allocated_nodes > nodes:
        asked = nodes_text(plan.nodes, plan.spare_nodes)
        raise Refusal(f"{asked} is more than partition {wanted} has for a job ({nodes}): ask for fewer")
    if least.isdigit() and plan.allocated_nodes < int(least):
        raise Refusal(
            f"{nodes_text(plan.nodes, plan.spare_nodes)} is fewer than partition {wanted} takes ({least}): ask for "
            "more, or name another with -p"
        )
    longest = walltime(limit) if limit not in ("infinite", "n/a") else None
    if exceeds(plan.time_s, longest):
        raise Refusal(
            f"--time {limit_text(plan.time_s or 0)} is more than partition {wanted} allows ({limit}): ask for less"
        )


def _ask_all() -> Answer:
    return _answer(command(["squeue", "--me", "-a", "-h", "--array", "-t", "all", "-o", _FORMAT], TIMEOUT_S))


def _answer(answer: subprocess.CompletedProcess | None) -> Answer:
    if answer is None:
        return Answer({}, f"no answer to squeue within {TIMEOUT_S:.0f} s, or no squeue here")
    if answer.returncode:
        said = answer.stderr.strip().splitlines() or [f"squeue: exit status {answer.returncode}"]
        return Answer({}, said[-1])
    statuses: dict[str, Status] = {}
    for line in re.split(r"\n(?=\d[^|\n]*\|\d+\|[A-Z_]+\|)", answer.stdout):  # a comment may have lines of its own
        if line.count("|") < 4:
            continue
        task, number, word, reason, nodes, *marks = line.rstrip("\n").split("|", 5)
        phase = QUEUED if word in _WAITING else ENDED if word in _ENDED else RUNNING
        status = Status(phase, word, "" if reason == "None" else reason, nodes, _OUTCOMES.get(word), *marks)
        statuses[task] = status
        statuses.setdefault(number, status)  # the last task of an array has the number of the array
    return Answer(statuses)


def _kept(path: Path) -> Answer | None:
    try:
        kept = read_json(path)
        if kept is None or not 0 <= time.time() - kept["time"] < FRESH_S:
            return None
        return Answer({handle: Status(*status) for handle, status in kept["statuses"].items()}, kept["silence"])
    except (Refusal, KeyError, TypeError, AttributeError):  # from another version, or damaged: ask again
        return None
