"""The beginning and the end of an attempt, noted in the run directory:   python -m launch.attempt begin|end RUN [STATUS]

The job script calls it on the first node; the local backend calls the same functions.
"""

import importlib.metadata
import os
import platform
import re
import socket
import subprocess
import sys
from typing import Any

from launch import diagnose, gpus, stop
from launch.plan import Plan
from launch.rundir import RunDir, publish_json, read_json

# What of the environment may change a result or a speed; never all of it, which would publish secrets.
_MATTERS = re.compile(
    r"(CUDA|HIP|NCCL|MPICH|OMPI_MCA|UCX|FI|HOROVOD|TF|XLA|KERAS|OMP|MKL|SLURM)_|LD_LIBRARY_PATH$|LOADEDMODULES$"
)
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSW|JWT", re.IGNORECASE)


def begin(run: RunDir) -> int:
    """Note that an attempt starts, here and now; return its number, counted from 1."""
    attempt = len(run.events("started")) + 1
    run.append_event("started", attempt=attempt, host=socket.gethostname(), pid=os.getpid(), **_job())
    publish_json(run.env_json, surroundings())
    return attempt


def end(run: RunDir, status: int) -> str:
    """Note how the attempt ended: done, stopped (with a checkpoint, to be resumed) or failed.

    Parameters
    ----------
    run : RunDir
        Of which all ranks have ended.
    status : int
        The exit status of srun, or of the first rank that failed.

    Returns
    -------
    str
        "done", "stopped" or "failed".
    """
    plan = Plan.from_json(read_json(run.run_json))
    started = run.events("started")
    attempt = len(started)
    if status == 0 and plan.kind != "workload":
        publish_json(run.result_json, {"status": "done", "ranks": plan.size, "nodes": plan.nodes, "attempts": attempt})
    failure = diagnose.first_failure(run, attempt)
    if run.result() is not None:
        outcome = "done"
    # srun reports the largest status of all, so 75 may hide a rank that failed with less: ask the failures as well.
    elif failure is None and (status == stop.STOPPED or diagnose.ended_by_slurm(run)):
        outcome = "stopped"
    else:
        outcome = "failed"
    first = {} if failure is None or outcome != "failed" else {"first_failure": failure._asdict()}
    reason = {"reason": why} if (why := diagnose.ended_by_slurm(run)) else {}
    run.append_event("ended", attempt=attempt, outcome=outcome, status=status, step=saved_step(run), **reason, **first)
    return outcome


def saved_step(run: RunDir) -> int:
    """The step of the newest checkpoint, or 0."""
    steps = (re.fullmatch(r"step-(\d+)\.npz", path.name) for path in run.checkpoints.glob("step-*.npz"))
    return max((int(match[1]) for match in steps if match), default=0)


def requeue(run: RunDir, plan: Plan) -> str:
    """Put the job that this is back into the queue, if it has attempts left and gets further; return what was done."""
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    if plan.max_attempts <= 1 or "SLURM_JOB_ID" not in os.environ:
        return ""
    if restarts + 1 >= plan.max_attempts:
        return f"launch: not put back into the queue: {plan.max_attempts} attempts were made"
    last = [event.get("step", 0) for event in run.events("ended")][-3:]
    if len(last) == 3 and len(set(last)) == 1:
        return f"launch: not put back into the queue: two attempts got no further than step {last[0]}"
    subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=False)
    return f"launch: put back into the queue, to go on after step {last[-1]}"


def surroundings() -> dict[str, Any]:
    """What a run's result may depend on beside the plan: the content of env.json."""
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "gpus": gpus.names(),
        "driver": gpus.driver_version(),
        "python": platform.python_version(),
        "packages": {
            name: version
            for name in ("tensorflow", "tensorflow-cpu", "keras", "horovod", "numpy", "mpi4py", "openmpi", "torch")
            if (version := _version(name))
        },
        "modules": [name for name in os.environ.get("LOADEDMODULES", "").split(":") if name],
        "environment": {k: v for k, v in sorted(os.environ.items()) if _MATTERS.match(k) and not _SECRET.search(k)},
    }


def _job() -> dict[str, str]:
    told = {"job": "SLURM_JOB_ID", "nodes": "SLURM_JOB_NODELIST", "restarts": "SLURM_RESTART_COUNT"}
    return {name: os.environ[variable] for name, variable in told.items() if variable in os.environ}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(
                (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
            )
    except OSError:
        return platform.machine()


if __name__ == "__main__":
    verb, folder, *rest = sys.argv[1:]
    here = RunDir.open(folder)
    planned = Plan.from_json(read_json(here.run_json))
    if verb == "begin":
        # Slurm itself puts a job back that was preempted or lost a node, as often as it likes.
        if int(os.environ.get("SLURM_RESTART_COUNT", "0")) >= max(planned.max_attempts, 1):
            here.append_event("ended", outcome="failed", status=1, reason=f"{planned.max_attempts} attempts were made")
            sys.exit(f"launch: not started again: {planned.max_attempts} attempts were made; go on by hand with resume")
        print(f"launch: attempt {begin(here)}", flush=True)  # job.log holds all; diagnose looks for this
    else:
        outcome = end(here, int(rest[0]))
        if outcome == "failed":
            print(diagnose.paragraph(here), flush=True)
        # Where Slurm has ended the job, it also decides whether it comes back.
        if outcome == "stopped" and not diagnose.ended_by_slurm(here):
            print(requeue(here, planned), flush=True)
        sys.exit({"done": 0, "stopped": stop.STOPPED, "failed": 1}[outcome])
