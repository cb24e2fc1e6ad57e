"""The beginning and the end of an attempt, noted in the run directory:   python -m launch.attempt begin|end RUN [STATUS]

The job script calls it on the first node; the local backend calls the same functions.
"""

import importlib.metadata
import os
import platform
import re
import socket
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
    elif status == stop.STOPPED and failure is None:
        outcome = "stopped"
    else:
        outcome = "failed"
    first = {} if failure is None or outcome != "failed" else {"first_failure": failure._asdict()}
    run.append_event("ended", attempt=attempt, outcome=outcome, status=status, **first)
    return outcome


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
    if verb == "begin":
        print(f"launch: attempt {begin(RunDir.open(folder))}", flush=True)  # job.log holds all; diagnose looks for this
    else:
        outcome = end(RunDir.open(folder), int(rest[0]))
        if outcome == "failed":
            print(diagnose.paragraph(RunDir.open(folder)), flush=True)
        sys.exit({"done": 0, "stopped": stop.STOPPED, "failed": 1}[outcome])
