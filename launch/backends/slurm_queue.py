"""Asking Slurm: handing a job in, with patience; its state; the limits of the partitions."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from launch.backends.slurm_refusals import advice
from launch.backends.slurm_script import sbatch
from launch.errors import Refusal, SubmissionRefused, nearest
from launch.plan import inherited
from launch.plan.plan import Plan
from launch.plan.walltime import clock, walltime
from launch.record.rundir import RunDir

ENDED = {
    "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "PREEMPTED"
}  # fmt: skip
"""The states from which a job does not come back."""

_SILENT = re.compile(
    r"Unable to contact|timed out|Connection refused|Zero Bytes|Communication connection|temporarily unable",
    re.IGNORECASE,
)


class Job(NamedTuple):
    """What the controller says of a job."""

    state: str
    reason: str = ""
    nodes: str = ""


def submit(run: RunDir, plan: Plan, token: str) -> str:
    """Hand the script to Slurm, with patience while it is silent; return the job's number. The job's comment is the token."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError
    from submitit.slurm.slurm import SlurmExecutor

    if not shutil.which("sbatch"):
        raise SubmissionRefused("there is no Slurm here (no sbatch): load its module, or use --backend local")

    class Executor(SlurmExecutor):
        """submitit's engine, with our script and our command."""

        def _make_submission_file_text(self, command: str, uid: str) -> str:
            return run.script.read_text()

        def _make_submission_command(self, submission_file_path: Path) -> list[str]:
            return [*sbatch(run, plan, f"--comment={token}")[:-1], str(submission_file_path)]

        def _num_tasks(self) -> int:
            return plan.size

    executor = Executor(run.logs)
    deadline, pause = time.monotonic() + plan.patience_s, 1.0
    while True:
        # submitit prints what sbatch says; it is ours to say, once.
        with _clean_environment(), contextlib.redirect_stderr(io.StringIO()):
            try:
                return executor._submit_command("").job_id
            except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
                said = _words(error)
        if not _SILENT.search(said):
            raise SubmissionRefused(f"Slurm refused the job: {said}{advice(said)}")
        # A silent controller may have taken the job all the same, and then shows it once it answers again.
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise SubmissionRefused(
                    f"Slurm has not answered for {plan.patience_s} s ({said}): see scontrol ping, and whether squeue --me "
                    f"shows a job of the name {plan.job_name} before you try again",
                    may_be_queued=True,
                )
            print(f"Slurm does not answer ({said}); asking again for {left:.0f} s", file=sys.stderr, flush=True)
            time.sleep(min(pause, left))
            pause = min(2 * pause, 30.0)
            if _answers():
                break
        time.sleep(2)  # the request may still wait behind others
        if found := (by_comment() or {}).get(token):
            return found


def ask(number: str) -> Job | None:
    """The state of a job, from squeue, or from scontrol once it has left the queue; None if nobody answers."""
    answer = command(["squeue", "-h", "-j", number, "-o", "%T|%r|%N"])
    if answer and answer.stdout.strip():
        return Job(*answer.stdout.strip().splitlines()[0].split("|"))
    if answer is None or answer.returncode != 0 and _SILENT.search(answer.stderr):
        return None
    shown = command(["scontrol", "show", "job", number, "--oneliner"])
    if shown and (match := re.search(r"JobState=(\w+).*?Reason=(\S+)", shown.stdout)):
        return Job(match[1], match[2])
    # Slurm has forgotten it, so it has ended; how, the run directory knows.
    return Job("COMPLETED") if shown and "Invalid job id" in shown.stderr else None


def ask_many(numbers: Iterable[str]) -> dict[str, Job] | None:
    """The states of jobs and of the tasks of arrays that are in the queue, in one question; None if nobody answers."""
    answer = command(["squeue", "-h", "-r", "-j", ",".join(numbers), "-o", "%i|%T|%r|%N"])
    if answer is None or answer.returncode and "Invalid job id" not in answer.stderr:
        return None
    lines = (line.split("|") for line in answer.stdout.splitlines())
    return {number: Job(*said) for number, *said in lines}


def by_comment() -> dict[str, str] | None:
    """The numbers of this user's jobs by their comments, of arrays that of all their tasks; None if nobody answers."""
    answer = command(["squeue", "--me", "-h", "-t", "all", "-o", "%F %k"])
    if answer is None or answer.returncode:
        return None
    pairs = (line.partition(" ") for line in answer.stdout.splitlines())
    return {comment.strip(): number for number, _, comment in pairs}


def largest_array() -> int:
    """How many tasks an array may have."""
    answer = command(["scontrol", "show", "config"])
    told = re.search(r"MaxArraySize\s*=\s*(\d+)", answer.stdout if answer else "")
    return max(1, int(told[1])) if told else 1001  # Slurm's default


def refuse_beyond_limits(plan: Plan) -> None:
    """Refuse what Slurm would accept and then leave in the queue for ever."""
    answer = command(["sinfo", "-h", "-o", "%P|%D|%l|%s"], timeout=5)
    if not answer or answer.returncode:
        return  # silent: to be asked with patience when it is submitted
    partitions: dict[str, tuple[int, str, str]] = {}
    default = None
    for line in answer.stdout.split():
        name, nodes, limit, a_job = line.split("|")
        default = name.rstrip("*") if name.endswith("*") else default
        have = partitions.get(name.rstrip("*"), (0, limit, a_job))[0]  # a line for each kind of node
        partitions[name.rstrip("*")] = have + int(nodes), limit, a_job
    wanted = plan.partition or default
    if wanted is None or "," in wanted:
        return
    if wanted not in partitions:
        raise Refusal(f"--partition {wanted!r} is not a partition of this Slurm: {nearest(wanted, partitions)}")
    nodes, limit, a_job = partitions[wanted]
    most = a_job.rpartition("-")[2]
    nodes = min(nodes, int(most)) if most.isdigit() else nodes
    if plan.nodes > nodes:
        raise Refusal(f"--nodes {plan.nodes} is more than partition {wanted} has for a job ({nodes}): ask for fewer")
    if plan.time_s and limit not in ("infinite", "n/a") and plan.time_s > walltime(limit):
        raise Refusal(f"--time {clock(plan.time_s)} is more than partition {wanted} allows ({limit}): ask for less")


def command(words: list[str], timeout: float = 60) -> subprocess.CompletedProcess | None:
    """Run one of Slurm's commands; None if there is no answer."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=timeout, env=inherited.clean())
    except (subprocess.TimeoutExpired, OSError):
        return None


def _answers() -> bool:
    answer = command(["squeue", "--me", "-h"])
    return answer is not None and answer.returncode == 0


@contextlib.contextmanager
def _clean_environment():
    """For submitit, which runs sbatch in this process's environment."""
    before, cleaned = dict(os.environ), inherited.clean()
    os.environ.clear()
    os.environ.update(cleaned)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _words(error: Exception) -> str:
    """What sbatch said, as one line."""
    text = str(getattr(error, "stderr", None) or error)
    lines = [line.split("error: ", 1)[1] for line in text.splitlines() if "error: " in line]
    return "; ".join(dict.fromkeys(line.strip() for line in lines)) or " ".join(text.split())
