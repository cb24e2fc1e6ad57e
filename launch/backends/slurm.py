"""Ranks as tasks of a Slurm job: the script, and its life in the queue. submitit hands it in."""

import contextlib
import io
import os
import re
import shlex
import shutil
import signal
import string
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from launch.errors import Refusal, SubmissionRefused, nearest
from launch.plan import Plan, clock, walltime
from launch.progress import Progress, closing
from launch.rundir import RunDir, publish

TEMPLATE = Path(__file__).resolve().parents[2] / "jobs" / "slurm.sh"
POLL_S = 2.0  # between questions to the controller, however many of us ask
GRACE_S = 30.0  # for ranks that were asked to save and leave

_SILENT = re.compile(r"Unable to contact|timed out|Connection refused|Zero Bytes|Communication connection|temporarily unable", re.IGNORECASE)
_ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "PREEMPTED"}
# What of the environment tells Slurm's commands who they are in another job, or adds options that nobody sees.
_INHERITED = re.compile(r"(SLURM|SBATCH|SRUN|PMI|PMIX|OMPI_COMM|PRTE|LAUNCH|HOROVOD_(RANK|SIZE|LOCAL|CROSS))")
_KEPT = {"SLURM_CONF", "SLURM_JWT"}


class _Script(string.Template):
    delimiter = "@"


class Job(NamedTuple):
    """What the controller says of a job."""

    state: str
    reason: str = ""
    nodes: str = ""


def script(run: RunDir, plan: Plan) -> str:
    """The text of the job script. Nothing a user wrote stands in it but quoted."""
    python = shlex.quote(plan.python)
    return _Script(TEMPLATE.read_text()).substitute(
        command=shlex.join(_sbatch(run, plan)).replace("\n", " "),
        directives="\n".join(f"#SBATCH --{name}={value}" if value else f"#SBATCH --{name}" for name, value in directives(plan).items()),
        environment="\n".join(_environment(plan, python)),
        srun=" ".join(map(shlex.quote, srun(plan))),
        worker=f"{python} -m launch.worker .",
        end=f"{python} -m launch.attempt end .",
    )


def directives(plan: Plan) -> dict[str, str]:
    """The options of sbatch that stand in the script."""
    found = {
        "job-name": re.sub(r"[^A-Za-z0-9._+-]", "-", plan.job_name),
        "nodes": str(plan.nodes),
        "ntasks-per-node": str(plan.ranks_per_node),
        "cpus-per-task": plan.cpus_per_task,
        **_gpus(plan),
        "time": plan.time_s and clock(-(-plan.time_s // 60) * 60),
        "partition": plan.partition,
        "account": plan.account,
        "qos": plan.qos,
        "constraint": plan.constraint,
        # To the ranks only, so that they save and leave in time.
        "signal": f"USR2@{plan.signal_s}",
        "output": "logs/job.log",
        "open-mode": "append",
        **plan.directives,
    }
    return {name: str(value) for name, value in found.items() if value is not None}


def srun(plan: Plan) -> list[str]:
    """The options of srun. Those of sbatch are said again where srun does not take them over."""
    cores = [f"--cpus-per-task={plan.cpus_per_task}"] if plan.cpus_per_task else []
    mpi = ["--mpi=none"] if plan.rendezvous == "gloo" else [f"--mpi={plan.mpi}"] if plan.mpi else []
    one_each = ["--gpus-per-task=1"] if plan.gpus_per_node and plan.gpu_binding == "slurm" else []
    return [
        f"--nodes={plan.nodes}",
        f"--ntasks={plan.size}",
        f"--ntasks-per-node={plan.ranks_per_node}",
        *cores,
        *mpi,
        *one_each,
        "--kill-on-bad-exit=1",
        "--label",
        "--output=logs/node%n.log",
        "--open-mode=append",
        *plan.srun_args,
    ]


def preview(run: RunDir, plan: Plan) -> str:
    """The command and the very script that would be submitted."""
    if shutil.which("sbatch"):
        _refuse_beyond_limits(plan)
    return f"\n{shlex.join(_sbatch(run, plan))}\n\n{script(run, plan)}"


def start(run: RunDir, plan: Plan, how: str) -> str:
    """Submit a run and, unless ``how`` is "detach", stay until its job ends: with progress ("follow") or without ("wait").

    Returns
    -------
    str
        How the run ended: "done", "stopped", "failed", "cancelled" or "timeout"; "done" at once when detached.

    Raises
    ------
    SubmissionRefused
        If Slurm refuses the job, or stays silent; the message is what it said.
    KeyboardInterrupt
        If the user asked for the end; the job has left the queue then.
    """
    publish(run.script, script(run, plan))
    try:
        job = submit(run, plan)
    except SubmissionRefused as refusal:
        if not refusal.may_be_queued and not run.events("started"):
            shutil.rmtree(run.path)  # it would only be in the way of the next try
        raise
    run.append_event("submitted", backend="slurm", job=job, command=sys.orig_argv)
    print(f"job            {job}", flush=True)
    if how == "detach":
        return "done"
    show = Progress(run, plan) if how == "follow" else lambda waiting_for="": None
    try:
        outcome = follow(run, job, plan, show)
    except KeyboardInterrupt:
        _cancel(run, job, plan)
        raise
    finally:
        if how == "follow":
            show.close()
    print(closing(run, plan, outcome), flush=True)
    return outcome


def is_running(run: RunDir) -> bool:
    """Whether the run has a job in the queue."""
    submitted = run.events("submitted")
    if not submitted:
        return False
    job = ask(submitted[-1]["job"])
    return job is not None and job.state not in _ENDED


def submit(run: RunDir, plan: Plan) -> str:
    """Hand the script to Slurm, with patience while it is silent; return the job's number."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError
    from submitit.slurm.slurm import SlurmExecutor

    if not shutil.which("sbatch"):
        raise SubmissionRefused("there is no Slurm here (no sbatch on the path): load its module, or use --backend local")
    _refuse_beyond_limits(plan)
    token = f"rankloop-{uuid.uuid4().hex}"

    class Executor(SlurmExecutor):
        """submitit's engine, with our script and our command."""

        def _make_submission_file_text(self, command: str, uid: str) -> str:
            return run.script.read_text()

        def _make_submission_command(self, submission_file_path: Path) -> list[str]:
            return [*_sbatch(run, plan, f"--comment={token}")[:-1], str(submission_file_path)]

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
        left = deadline - time.monotonic()
        if not _SILENT.search(said):
            raise SubmissionRefused(f"Slurm refused the job: {said}")
        # A silent controller may have taken the job all the same.
        if found := _find(token):
            return found
        if left <= 0:
            raise SubmissionRefused(
                f"Slurm has not answered for {plan.patience_s} s ({said}): see scontrol ping, and whether squeue --me shows a job "
                f"of the name {plan.job_name} before you try again",
                may_be_queued=True,
            )
        print(f"Slurm does not answer ({said}); asking again for {left:.0f} s", file=sys.stderr, flush=True)
        time.sleep(min(pause, max(left, 0.1)))
        pause = min(2 * pause, 30.0)


def follow(run: RunDir, number: str, plan: Plan, show: Callable[..., None]) -> str:
    """Watch a job to its end, by its files and, every few seconds, by the controller; return the outcome."""
    asked, job, waiting = 0.0, Job("PENDING"), "waiting in the queue"
    before = len(run.events("ended"))
    while True:
        if time.monotonic() - asked >= POLL_S:
            asked = time.monotonic()
            answer = ask(number)
            if answer is not None:
                job = answer
                reason = f": {job.reason}" if job.reason not in ("", "None") else ""
                waiting = f"job {number} is {job.state.lower()}{reason}" if job.state != "RUNNING" else ""
            if job.state in _ENDED:
                break
        show(waiting)
        time.sleep(0.2)
    deadline = time.monotonic() + 10  # for what the nodes wrote to be seen here
    while len(ended := run.events("ended")) <= before and time.monotonic() < deadline and job.state != "CANCELLED":
        time.sleep(0.2)
    return outcome(job.state, ended[-1]["outcome"] if len(ended) > before else None)


def outcome(state: str, noted: str | None) -> str:
    """How a run ended, by the state of its job and by what its script noted."""
    if noted == "done":
        return "done"
    by_slurm = {"TIMEOUT": "timeout", "DEADLINE": "timeout", "CANCELLED": "cancelled", "PREEMPTED": "stopped"}
    return by_slurm.get(state) or noted or "failed"


def ask(number: str) -> Job | None:
    """The state of a job, from squeue, or from scontrol once it has left the queue; None if nobody answers."""
    answer = _slurm(["squeue", "-h", "-j", number, "-o", "%T|%r|%N"])
    if answer and answer.stdout.strip():
        return Job(*answer.stdout.strip().splitlines()[0].split("|"))
    if answer is None or answer.returncode != 0 and _SILENT.search(answer.stderr):
        return None
    shown = _slurm(["scontrol", "show", "job", number, "--oneliner"])
    if shown and (match := re.search(r"JobState=(\w+).*?Reason=(\S+)", shown.stdout)):
        return Job(match[1], match[2])
    # Slurm has forgotten it, so it has ended; how, the run directory knows.
    return Job("COMPLETED") if shown and "Invalid job id" in shown.stderr else None


def _cancel(run: RunDir, number: str, plan: Plan) -> None:
    """Ask the ranks to save and leave, then end the job; return when it has left the queue."""
    print(f"\nending job {number}: its ranks are asked to save and leave; Ctrl-C again ends them at once", file=sys.stderr, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        if plan.kind == "workload" and _slurm(["scancel", "--signal=USR2", number]) is not None:
            _wait_until_gone(number, GRACE_S)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    _slurm(["scancel", number])
    _wait_until_gone(number, 60)
    signal.signal(signal.SIGINT, before)
    print(f"go on with it: python -m launch resume {run.path}", file=sys.stderr, flush=True)


def _wait_until_gone(number: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job = ask(number)
        if job is not None and (job.state in _ENDED or job.state == "PENDING"):
            return
        time.sleep(0.5)


def _refuse_beyond_limits(plan: Plan) -> None:
    """Refuse what Slurm would accept and then leave in the queue for ever."""
    answer = _slurm(["sinfo", "-h", "-o", "%P|%D|%l"], timeout=5)
    if not answer or answer.returncode:
        return  # silent: to be asked with patience when it is submitted
    partitions: dict[str, tuple[int, str]] = {}
    default = None
    for line in answer.stdout.split():
        name, nodes, limit = line.split("|")
        default = name.rstrip("*") if name.endswith("*") else default
        have = partitions.get(name.rstrip("*"), (0, limit))[0]
        partitions[name.rstrip("*")] = have + int(nodes), limit
    wanted = plan.partition or default
    if wanted is None or "," in wanted:
        return
    if wanted not in partitions:
        raise Refusal(f"--partition {wanted!r} is not a partition of this Slurm: {nearest(wanted, partitions)}")
    nodes, limit = partitions[wanted]
    if plan.nodes > nodes:
        raise Refusal(f"--nodes {plan.nodes} is more than partition {wanted} has ({nodes}): ask for fewer")
    if plan.time_s and limit not in ("infinite", "n/a") and plan.time_s > walltime(limit):
        raise Refusal(f"--time {clock(plan.time_s)} is more than partition {wanted} allows ({limit}): ask for less")


def _gpus(plan: Plan) -> dict[str, str]:
    if not plan.gpus_per_node:
        return {}
    return {
        "gpus-per-node": {"gpus-per-node": str(plan.gpus_per_node)},
        "gpus-per-task": {"gpus-per-task": "1"},
        "gres": {"gres": f"gpu:{plan.gpus_per_node}"},
        "none": {},
    }[plan.gpu_request]


def _environment(plan: Plan, python: str) -> list[str]:
    paths = shlex.quote(os.pathsep.join(plan.pythonpath))
    fail = f"{{ {python} -m launch.attempt end . 1; exit 1; }}"
    lines = []
    if plan.modules:
        lines.append(f"module load {shlex.join(plan.modules)} || {fail}")
    lines += plan.setup
    lines += [f"export {name}={shlex.quote(value)}" for name, value in plan.env.items()]
    lines.append(f"export PYTHONPATH={paths}${{PYTHONPATH:+:$PYTHONPATH}} TF_CPP_MIN_LOG_LEVEL=${{TF_CPP_MIN_LOG_LEVEL:-2}}")
    lines.append(f"{python} -m launch.attempt begin . || exit 1")
    return lines


def _sbatch(run: RunDir, plan: Plan, *more: str) -> list[str]:
    return ["sbatch", f"--chdir={run.path}", *plan.sbatch_args, *more, str(run.script)]


def _slurm(command: list[str], timeout: float = 60) -> subprocess.CompletedProcess | None:
    """Run one of Slurm's commands; None if there is no answer."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=_clean())
    except (subprocess.TimeoutExpired, OSError):
        return None


def _find(token: str) -> str | None:
    answer = _slurm(["squeue", "--me", "-h", "-o", "%A %k"])
    for line in answer.stdout.splitlines() if answer else ():
        number, _, comment = line.partition(" ")
        if comment.strip() == token:
            return number
    return None


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in _KEPT or not _INHERITED.match(name)}


@contextlib.contextmanager
def _clean_environment():  # noqa: ANN202
    """For submitit, which runs sbatch in this process's environment."""
    before, cleaned = dict(os.environ), _clean()
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
