"""What the user asks of a job, or of a study of several: the options before the workload."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from launch.plan.typed import Backend, Bounds, Count, Natural, NotNegative, Positive, Seed


def _option(default: Any, help: str, *flags: str, **metadata: str) -> Any:
    return field(default=default, metadata={"help": help, "flags": flags, **metadata})


@dataclass(
    frozen=True, slots=True, kw_only=True, eq=False
)  # nobody compares them, and methods for it take time to make
class Request:
    """The job options. What is not given comes from the site."""

    nodes: tuple[Count, ...] = _option((1,), "number of nodes; 1,2,4 makes a scaling study", "-N", separator=",")
    ranks_per_node: Count | None = _option(
        None, "ranks (processes) per node; one per GPU by default", "--ntasks-per-node"
    )
    gpus_per_node: str | int | None = _option(
        None, "GPUs per node: N, or TYPE:N where the site has several types; 0 hides them"
    )
    cpus_per_task: Count | None = _option(None, "cores per rank", "-c")
    time: str | None = _option(None, "walltime: MINUTES, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS or UNLIMITED", "-t")
    partition: str | None = _option(None, "partition of Slurm, or queue of PBS and Flux", "-p")
    account: str | None = _option(None, "account to charge; with PBS maybe a project, with Flux a bank", "-A")
    qos: str | None = _option(None, "Slurm quality of service", "-q")
    constraint: str | None = _option(None, "features that the nodes must have", "-C")
    job_name: str | None = _option(None, "name of the job in the queue; the run's name by default", "-J")
    site: str | None = _option(None, "name of a site, or path of a site file; detected by default")
    backend: Backend | None = _option(
        None, "processes on this machine (local), or jobs of Slurm, PBS or Flux; the site says by default"
    )
    rendezvous: Literal["gloo", "mpi"] | None = _option(
        None, "how ranks find each other: by default mpi for a program that uses MPI, else as the site says"
    )
    independent: bool = _option(
        False, "the ranks of the program are meant to work without each other; say nothing of it"
    )
    runs: Path = _option(Path("runs"), "folder of the run directories")
    name: str | None = _option(None, "name of the run or study; made of workload, nodes and time by default")
    seed: Seed = _option(0, "seed of everything random in a workload")
    sample_hz: Annotated[float, Bounds(0, 100)] = _option(
        1.0, "readings per second of each node's GPUs and processes; 0 for none"
    )
    warn: Annotated[int, Bounds(1, 65535)] | None = _option(
        None,
        "seconds before the time limit at which the ranks get SIGUSR2, to save and to end with status 75: workloads "
        "do, by default 120 s before; other programs get it only if this is given",
    )
    max_attempts: Count = _option(
        1,
        "maximum number of starts, requeues included: above 1, a run is started again when it reached its time limit, "
        "was preempted or lost a node; a workload goes on from its checkpoint, any other program begins anew",
    )
    stage_env: bool = _option(
        False,
        "pack the environment of Python once, send it to a disk of each node, and start the ranks from there",
    )
    spare_nodes: Natural = _option(
        0,
        "nodes more in the allocation: an attempt that ends because of a node is followed by the next on the others, "
        "without a wait in the queue; needs --max-attempts",
    )
    hang_timeout: str | None = _option(
        None,
        "end an attempt as hung when no rank has made a step for so long (of a program without steps: printed, or used "
        "CPU), and keep the stacks of all ranks: 30m, 90s, or as --time",
    )
    container: str | None = _option(None, "image in which the ranks run; how it is started, the site says")
    gpu_binding: Literal["slurm", "env", "framework"] | None = _option(
        None,
        "which GPUs a rank sees: those that Slurm gives it, its own by a variable that hides the others, or all of "
        "its node; by default a program sees all where each rank has one",
    )
    share_gpus: bool = _option(False, "allow several ranks on one GPU")
    require_network: bool = _option(
        False,
        "end the run where NCCL talks over TCP sockets between the nodes, and not over InfiniBand, Slingshot or "
        "another network made for it",
    )
    dry_run: bool = _option(False, "print the plan and the job script; start nothing")
    json: bool = _option(False, "of a dry run: print the plan as JSON, for programs")
    follow: bool = _option(True, "show progress until the run ends")
    wait: bool = _option(False, "wait for the end, without showing progress")
    detach: bool = _option(False, "return as soon as the run is submitted or started")
    sbatch_arg: tuple[str, ...] = _option(
        (), "argument passed unchanged to sbatch, qsub or flux batch: --sbatch-arg=--exclusive", "--submit-arg"
    )
    srun_arg: tuple[str, ...] = _option(
        (), "argument passed unchanged to srun, or to what else starts the ranks", "--launcher-arg"
    )
    pack: bool = _option(False, "run all runs of a study in one allocation, one after the other")
    stop_below: Annotated[float, Bounds(above=0, most=1)] | None = _option(
        None, "skip points of a study whose efficiency, measured on smaller points or predicted, is below this"
    )
    new_job: bool = _option(
        False,
        "within a Slurm job: submit a new job, as elsewhere; by default runs become steps of the job that this is",
    )
    inherit: tuple[str, ...] = _option(
        (),
        "Slurm's variables that the job takes from this environment, as SBATCH_RESERVATION or 'SBATCH_*'; all others "
        "are left out",
        separator=",",
    )
    fom: tuple[str, ...] = _option(
        (),
        "a figure of merit that the program prints: 'throughput=Performance: *([0-9.]+) *ns/day', or the name of a "
        "code whose output is known, as lammps",
    )
    fom_unit: tuple[str, ...] = _option(
        (), "the unit of a figure: --fom-unit ns/day, or NAME=UNIT where there are several"
    )
    fom_as: tuple[str, ...] = _option(
        (),
        "what a figure is, and which number counts: NAME=time,sum with rate, speed, time, work or value; last, mean, "
        "sum, max or min; all ranks or one",
    )
    snapshot: bool = _option(
        True,
        "copy the code into the run or study as it is submitted, and run the copy; with --no-snapshot the code runs "
        "from its place, and each attempt says whether it has changed",
    )
    snapshot_limit: Positive = _option(256.0, "MiB that the copy of the code may take")
    repeats: Count = _option(1, "runs of each point of a study")
    scaling: Literal["weak", "strong"] = _option(
        "weak", "hold the batch per rank (weak) or the global batch (strong); of a program, what it holds"
    )
    sweep: tuple[str, ...] = _option(
        (),
        "a parameter of a study: --sweep lr=1e-3,1e-2, --sweep seed=0..4; {lr} in a program's arguments is the place "
        "of its value",
        "--array",
    )
    throttle: Count | None = _option(
        None,
        "maximum number of runs of a study at a time: in each Slurm array, in the allocation in which this runs, or on "
        "this machine, where it is 1 by default",
    )
    budget: NotNegative | None = _option(None, "GPU-hours (node-hours without GPUs) that must not be exceeded")
