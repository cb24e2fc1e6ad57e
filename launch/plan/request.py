"""What the user asks of a job: the options before the workload."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from launch.plan.typed import Bounds

Count = Annotated[int, Bounds(1, 1_000_000)]
Natural = Annotated[int, Bounds(0, 1_000_000)]
Seed = Annotated[int, Bounds(0, 2**32 - 1)]  # what NumPy and keras.utils.set_random_seed take
NotNegative = Annotated[float, Bounds(0)]
Positive = Annotated[float, Bounds(above=0)]
Backend = Literal["local", "slurm"]


def _option(default: Any = None, *flags: str, **metadata: str) -> Any:
    return field(default=default, metadata={"flags": flags, **metadata})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The job options. What is not given comes from the site."""

    nodes: Count = _option(1, "-N")  # how many nodes
    ranks_per_node: Count | None = _option(None, "--ntasks-per-node")  # processes on each; one per GPU by default
    gpus_per_node: str | int | None = _option()  # GPUs on each: N, or TYPE:N where the site has several types; 0 hides
    # them
    cpus_per_task: Count | None = _option(None, "-c")  # cores of each rank
    time: str | None = _option(None, "-t")  # walltime: MINUTES, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS
    partition: str | None = _option(None, "-p")  # Slurm partition
    account: str | None = _option(None, "-A")  # Slurm account to charge
    qos: str | None = _option(None, "-q")  # quality of service
    constraint: str | None = _option(None, "-C")  # features that the nodes must have
    job_name: str | None = _option(None, "-J")  # in the queue; the run's name by default
    site: str | None = _option()  # name of a site, or a site file; detected by default
    backend: Backend | None = _option()  # processes on this machine, or Slurm jobs
    rendezvous: Literal["gloo", "mpi"] | None = _option()  # how ranks find each other
    runs: Path = _option(Path("runs"))  # folder of the run directories
    name: str | None = _option()  # of the run; workload, nodes and time by default
    seed: Seed = _option(0)  # of everything random in a workload
    sample_hz: Annotated[float, Bounds(0, 100)] = _option(1.0)  # readings per second of each node's GPUs and
    # processes; 0 for none
    warn: Annotated[int, Bounds(1, 65535)] | None = _option()  # seconds before the time limit at which the ranks get
    # SIGUSR2, to save and to end with status 75: workloads do, by default 120 s before; other programs only if it is given
    max_attempts: Count = _option(1)  # maximum number of starts: above 1, a run is started again when it reached its
    # time limit, was preempted or lost a node; a workload goes on from its checkpoint, any other program begins anew
    container: str | None = _option()  # image in which the ranks run; how, the site says
    gpu_binding: Literal["slurm", "env", "framework"] | None = (
        _option()
    )  # which GPUs a rank sees: those that Slurm gives
    # it, its own by a variable that hides the others, or all of its node; by default a program sees all where each rank
    # has one
    share_gpus: bool = _option(False)  # allow several ranks on one GPU
    dry_run: bool = _option(False)  # print the plan and the script; submit nothing
    follow: bool = _option(True)  # show progress until the run ends
    wait: bool = _option(False)  # wait for the end, without progress
    detach: bool = _option(False)  # return at once
    sbatch_arg: tuple[str, ...] = _option(())  # passed to sbatch as it is: --sbatch-arg=--exclusive
    srun_arg: tuple[str, ...] = _option(())  # passed to srun as it is
    pack: bool = _option(False)  # make the runs of a study in one allocation, one after the other
    stop_below: Annotated[float, Bounds(above=0, most=1)] | None = (
        _option()
    )  # skip points of a study whose efficiency, measured
    # on smaller points or predicted, is below this
    inherit: tuple[str, ...] = _option((), separator=",")  # Slurm's variables that the job takes from this environment,
    # as SBATCH_RESERVATION or 'SBATCH_*'; all others are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRequest(Request):
    """The job options where several runs are asked for: the same, and the axes in which the runs differ."""

    nodes: tuple[Count, ...] = _option((1,), "-N", separator=",")  # how many nodes; 1,2,4 makes a scaling study
    repeats: Count = _option(1)  # runs of each point of a study
    scaling: Literal["weak", "strong"] = _option("weak")  # over the nodes, hold the batch per rank (weak) or the global
    # batch (strong)
    array: tuple[str, ...] = _option(())  # an axis of a study: --array lr=1e-3,1e-2, --array seed=0..4
    throttle: Count | None = _option(None)  # runs of a study at once, in each Slurm array
    budget: NotNegative | None = _option(None)  # GPU-hours (node-hours without GPUs) that must not be exceeded
