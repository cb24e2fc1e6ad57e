"""What the user asks of a job: the options before the workload."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


def _option(default: Any = None, *flags: str, **metadata: str) -> Any:
    return field(default=default, metadata={"flags": flags, **metadata})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The job options. What is not given comes from the site."""

    nodes: int = _option(1, "-N")  # how many nodes
    ranks_per_node: int | None = _option(None, "--ntasks-per-node")  # processes on each; one a GPU by default
    gpus_per_node: int | None = _option()  # GPUs on each
    cpus_per_task: int | None = _option(None, "-c")  # cores of each rank
    time: str | None = _option(None, "-t")  # walltime: MINUTES, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS
    partition: str | None = _option(None, "-p")  # Slurm partition
    account: str | None = _option(None, "-A")  # who pays
    qos: str | None = _option(None, "-q")  # quality of service
    constraint: str | None = _option(None, "-C")  # features that the nodes must have
    job_name: str | None = _option(None, "-J")  # in the queue; the run's name by default
    site: str | None = _option()  # name of a site, or a site file; found by itself where it can be
    backend: Literal["local", "slurm"] | None = _option()  # processes on this machine, or Slurm jobs
    rendezvous: Literal["gloo", "mpi"] | None = _option()  # how ranks find each other
    runs: Path = _option(Path("runs"))  # folder of the run directories
    name: str | None = _option()  # of the run; workload, nodes and time by default
    seed: int = _option(0)  # of everything random in a workload
    sample_hz: float = _option(1.0)  # readings a second of each node's GPUs and processes; 0 for none
    warn: int | None = (
        _option()
    )  # seconds before the time limit at which the ranks get SIGUSR2, to save and to end with
    # status 75: workloads do, 120 s before or as the site says; any other program only if this is given
    max_attempts: int = _option(1)  # starts of a run: above 1, it is started again when it reached its time limit, was
    # preempted or lost a node; a workload goes on from its checkpoint, any other program begins anew
    container: str | None = _option()  # image in which the ranks run; how, the site says
    share_gpus: bool = _option(False)  # allow several ranks on one GPU
    dry_run: bool = _option(False)  # print the plan and the script; submit nothing
    follow: bool = _option(True)  # show progress until the run ends
    wait: bool = _option(False)  # wait for the end, without progress
    detach: bool = _option(False)  # return at once
    sbatch_arg: tuple[str, ...] = _option(())  # passed to sbatch as it is: --sbatch-arg=--exclusive
    srun_arg: tuple[str, ...] = _option(())  # passed to srun as it is
    pack: bool = _option(False)  # make the runs of a study in one allocation, one after the other
    stop_below: float | None = (
        _option()
    )  # efficiency, measured on smaller points or predicted, below which points of a study are not made
    inherit: tuple[str, ...] = _option((), separator=",")  # Slurm's variables that the job takes from this environment,
    # as SBATCH_RESERVATION or 'SBATCH_*'; all others are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRequest(Request):
    """The job options where several runs are asked for: the same, and the axes in which the runs differ."""

    nodes: tuple[int, ...] = _option((1,), "-N", separator=",")  # how many nodes; 1,2,4 makes a scaling study
    repeats: int = _option(1)  # runs of each point of a study
    scaling: Literal["weak", "strong"] = _option("weak")  # over the nodes: batch of a rank held, or that of all
    array: tuple[str, ...] = _option(())  # an axis of a study: --array lr=1e-3,1e-2, --array seed=0..4
    throttle: int | None = _option(None)  # runs of a study at once, in each Slurm array
    budget: float | None = _option(None)  # GPU-hours (node-hours without GPUs) that must not be exceeded
