"""Submits jobs to Slurm through submitit, and finds them by their tokens."""

import contextlib
import io
import os
import re
import signal
import subprocess
from pathlib import Path

from launch.backends.commands import command
from launch.backends.slurm import queue, script
from launch.backends.submission import NotSubmitted, Queue, submitting, unknown
from launch.errors import Refusal
from launch.plan import inherited
from launch.record.job import Job

# The limits have the names in Slurm's job_state_reason_string. sbatch adds "Job violates accounting/QOS policy" with
# and without these names. The first match counts.
_ADVICE = (
    (
        r"SubmitJob",
        "so many of your jobs are in the queue already (each run of an array is one; see squeue --me): "
        "wait for some to end, submit fewer runs at a time, or give a study one job with --pack",
    ),
    (r"WallDuration|Requested time limit is invalid", "ask for less --time, or for another QOS (-q) or partition (-p)"),
    (
        r"Minutes|Billing|GrpWall",
        "the time that is left to the account does not suffice: ask for less --time or fewer "
        "nodes, or name another account (-A)",
    ),
    (r"QOSMin", "this QOS is for larger jobs: ask for more nodes or GPUs, or for another QOS (-q)"),
    (
        r"(QOS|Assoc)(Grp|Max)\w+",
        "ask for fewer nodes, or for another QOS (-q); sacctmgr show qos says what each allows",
    ),
    (
        r"accounting/QOS policy",
        "a limit of the account or the QOS: ask for less --time or fewer nodes; sacctmgr show "
        "qos and sacctmgr show assoc user=$USER say what is allowed",
    ),
    (r"Invalid account", "name an account of yours with -A: sacctmgr show assoc user=$USER lists them"),
    (r"Invalid qos", "name another with -q: sacctmgr show assoc user=$USER format=account,qos lists yours"),
    (
        r"not permitted to use this partition|partition (not available|access)",
        "name another partition with -p: sinfo -a lists them",
    ),
    (r"Invalid feature", "name features that the nodes have with -C: sinfo -o '%P %f' lists them"),
    (r"Invalid generic resource|gres", "ask for GPUs as this cluster names them: sinfo -o '%P %G' lists them"),
    (
        r"node configuration is not available|Node count specification invalid|processors requested",
        "ask for fewer nodes, or less of each: sinfo -o '%P %D %c %m %G' lists nodes, cores, memory and GPUs",
    ),
    (r"[Rr]eservation", "name a reservation that is open to you: scontrol show reservation lists them"),
)


def _sbatch(job: Job) -> str:
    """Submit a job by sbatch; return its number."""
    # Imported here, because it takes as long as a whole dry run.
    from submitit.core.utils import FailedJobError, FailedSubmissionError
    from submitit.slurm.slurm import SlurmExecutor

    class Executor(SlurmExecutor):
        """submitit's executor with our script and command, through the methods that a plugin overrides."""

        def _make_submission_file_text(self, command: str, uid: str) -> str:
            return ""  # not used: sbatch gets the script in the job's folder

        def _make_submission_command(self, submission_file_path: Path) -> list[str]:
            return script.sbatch(job)

        @staticmethod
        def _get_job_id_from_submission_command(string: bytes | str) -> str:
            text = string if isinstance(string, str) else string.decode(errors="replace")
            if found := re.search(r"Submitted batch job (\d+)", text) or re.search(r"(?m)^(\d+)(;\S+)?\s*$", text):
                return found[1]
            with contextlib.suppress(Refusal):
                if number := _by_token(job):  # a site's own sbatch may print anything
                    return number
            raise FailedSubmissionError(f"sbatch names no job: {text.strip() or 'it printed nothing'}")

        def _num_tasks(self) -> int:
            return job.plans[0].size

        @classmethod
        def affinity(cls) -> int:
            return 2  # a host from which jobs are submitted need not have srun

    # submitit prints what sbatch says; the launcher prints it itself, once.
    with _clean_environment(), contextlib.redirect_stderr(io.StringIO()):
        try:
            return Executor(job.folder / "submitit").submit(os.getcwd).job_id
        except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
            text = str(getattr(error, "stderr", None) or error)
        except KeyboardInterrupt:
            for pid in submitting(job.token):  # else it would go on submitting
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise
    lines = [line.split("error: ", 1)[1].strip() for line in text.splitlines() if "error: " in line]
    said = "; ".join(dict.fromkeys(lines)) or " ".join(text.split())
    raise NotSubmitted(said, bool(re.search(queue.SILENT, said)))


def _by_token(job: Job) -> str | None:
    answer = command(["squeue", "--me", "-a", "-h", "-t", "all", "-o", "%F %k"])
    if answer is None or answer.returncode:
        raise unknown(job, "Slurm")
    pairs = (line.partition(" ") for line in re.split(r"\n(?=\d+ )", answer.stdout))  # a comment may have lines
    return next((number for number, _, comment in pairs if job.token in comment), None)


@contextlib.contextmanager
def _clean_environment():
    """Clean the environment for submitit, which runs sbatch in that of this process."""
    before, cleaned = dict(os.environ), inherited.clean()
    os.environ.clear()
    os.environ.update(cleaned)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


QUEUE = Queue("Slurm", "sbatch", _sbatch, _by_token, queue.answers, _ADVICE)
