"""What the user asks of a job, or of a study of several: the options before the workload."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from launch.plan.typed import Backend, Bounds, Count, Natural, NotNegative, Positive, Seed

WHAT, WHERE, SHAPE = "what to run", "where, and what is shown", "shape"
SLURM, RESTARTS, STUDY, RECORDING = "Slurm", "time limit, failures and restarts", "study", "recording"


def _option(group: str, default: Any, help: str, *flags: str, **metadata: str) -> Any:
    return field(default=default, metadata={"group": group, "help": help, "flags": flags, **metadata})


@dataclass(
    frozen=True, slots=True, kw_only=True, eq=False
)  # requests are never compared, and methods for that take time to make
class Request:
    """The job options, in the groups of the help text. What is not given comes from the site."""

    nodes: tuple[Count, ...] = _option(
        SHAPE, (1,), "number of nodes; several numbers, as in 1,2,4, make a scaling study", "-N", separator=","
    )
    ranks_per_node: Count | None = _option(
        SHAPE, None, "ranks (processes) per node; by default one per GPU, or 1 without GPUs", "--ntasks-per-node"
    )
    gpus_per_node: str | int | None = _option(
        SHAPE,
        None,
        "GPUs per node: N, or TYPE:N where the site has several types; 0 hides all GPUs; by default as the site says",
        value="[TYPE:]N",
    )
    cpus_per_task: Count | None = _option(SHAPE, None, "cores per rank; by default a rank's share of the node", "-c")
    gpu_binding: Literal["slurm", "env", "framework"] | None = _option(
        SHAPE,
        None,
        "which GPUs a rank sees: slurm: those that Slurm gives it; env: its own, as a variable hides the others; "
        "framework: all GPUs of its node; by default as the site says; a program with one GPU per rank sees all GPUs "
        "of its node",
    )
    share_gpus: bool = _option(SHAPE, False, "allow several ranks on one GPU")

    site: str | None = _option(
        WHERE, None, "name of a site, or path of a site file; by default the machine is recognised", value="SITE"
    )
    backend: Backend | None = _option(
        WHERE,
        None,
        "run as processes of this machine (local), or as jobs of Slurm, PBS or Flux; by default as the site says",
    )
    new_job: bool = _option(
        WHERE,
        False,
        "within a job of the scheduler, submit a new one; by default the runs become steps of the job that you are in",
    )
    dry_run: bool = _option(WHERE, False, "print the plan and the job script, and start nothing")
    json: bool = _option(WHERE, False, "with --dry-run: print the plan as JSON, for programs")
    follow: bool = _option(WHERE, True, "show progress until the run ends")
    wait: bool = _option(WHERE, False, "wait until the run ends, without showing progress")
    detach: bool = _option(WHERE, False, "return as soon as the run is submitted or started")

    partition: str | None = _option(
        SLURM, None, "partition of Slurm, or queue of PBS or Flux; by default as the site says", "-p", value="NAME"
    )
    account: str | None = _option(SLURM, None, "account to charge; with Flux the bank", "-A", value="NAME")
    qos: str | None = _option(SLURM, None, "Slurm quality of service; by default as the site says", "-q", value="NAME")
    constraint: str | None = _option(SLURM, None, "features that the nodes must have", "-C", value="FEATURES")
    job_name: str | None = _option(
        SLURM, None, "name of the job in the queue; by default the run's name", "-J", value="NAME"
    )
    sbatch_arg: tuple[str, ...] = _option(
        SLURM,
        (),
        "an argument for sbatch, qsub or flux batch, passed unchanged: --sbatch-arg=--exclusive",
        "--submit-arg",
        value="ARGUMENT",
    )
    srun_arg: tuple[str, ...] = _option(
        SLURM, (), "an argument for srun, or for what else starts the ranks", "--launcher-arg", value="ARGUMENT"
    )
    inherit: tuple[str, ...] = _option(
        SLURM,
        (),
        "Slurm's variables that the job takes from this environment, such as SBATCH_RESERVATION or 'SBATCH_*'; all "
        "others are left out",
        separator=",",
        value="VARIABLE",
    )

    time: str | None = _option(
        RESTARTS,
        None,
        "walltime of each run: MINUTES, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS or UNLIMITED; by default as the "
        "site says",
        "-t",
        value="TIME",
    )
    warn: Annotated[int, Bounds(1, 65535)] | None = _option(
        RESTARTS,
        None,
        "seconds before the time limit at which the ranks get SIGUSR2, so that they save and end with status 75; by "
        "default 120 for workloads, and no signal for other programs",
        value="SECONDS",
    )
    max_attempts: Count = _option(
        RESTARTS,
        1,
        "maximum number of starts, requeues included: above 1, a run is started again when it reached its time limit, "
        "was preempted or lost a node; a workload continues from its checkpoint, any other program begins anew",
    )
    spare_nodes: Natural = _option(
        RESTARTS,
        0,
        "additional nodes in the allocation: when an attempt ends because of a node, the next one runs on the others, "
        "without another wait in the queue; needs --max-attempts",
    )
    hang_timeout: str | None = _option(
        RESTARTS,
        None,
        "end an attempt as hung when no rank has made a step for this long (in a program that records no steps: has "
        "printed or used CPU time), and keep the stacks of all ranks; 30m, 90s, or in the forms of --time; by default "
        "never",
        value="TIME",
    )
    require_network: bool = _option(
        RESTARTS,
        False,
        "end the run if NCCL talks over TCP sockets between the nodes, rather than over InfiniBand, Slingshot or a "
        "similar network",
    )

    repeats: Count = _option(STUDY, 1, "runs of each point of a study")
    sweep: tuple[str, ...] = _option(
        STUDY,
        (),
        "a parameter of a study and its values: --sweep lr=1e-3,1e-2, --sweep seed=0..4; each value becomes the option "
        "--NAME of the program, or replaces {NAME} in its arguments",
        "--array",
        value="NAME=VALUES",
    )
    scaling: Literal["weak", "strong"] = _option(
        STUDY,
        "weak",
        "hold the batch per rank (weak) or the global batch (strong); for a program, which of the two it holds",
    )
    pack: bool = _option(STUDY, False, "run all runs of a study in one allocation, one after the other")
    throttle: Count | None = _option(
        STUDY,
        None,
        "maximum number of runs of a study at a time; by default 1 on this machine, and elsewhere as many as the "
        "scheduler allows",
    )
    stop_below: Annotated[float, Bounds(above=0, most=1)] | None = _option(
        STUDY,
        None,
        "skip the points of a study whose efficiency, measured on smaller points or predicted, is below this, as 0.5",
        value="EFFICIENCY",
    )
    budget: NotNegative | None = _option(
        STUDY,
        None,
        "refuse what may take more than this many GPU-hours (node-hours on nodes without GPUs)",
        value="HOURS",
    )

    runs: Path = _option(RECORDING, Path("runs"), "folder of the run directories", value="FOLDER")
    name: str | None = _option(
        RECORDING, None, "name of the run or study; by default made of the program, the nodes and the time"
    )
    sample_hz: Annotated[float, Bounds(0, 100)] = _option(
        RECORDING,
        1.0,
        "readings per second of each node's GPUs and processes; 0 for none",
        value="HZ",
    )
    fom: tuple[str, ...] = _option(
        RECORDING,
        (),
        "a figure of merit that the program prints: 'throughput=Performance: *([0-9.]+) *ns/day', or the name of a "
        "code whose output is known, such as lammps",
        value="NAME=REGEX|CODE",
    )
    fom_unit: tuple[str, ...] = _option(
        RECORDING,
        (),
        "the unit of a figure of merit: --fom-unit ns/day, or NAME=UNIT if there are several",
        value="[NAME=]UNIT",
    )
    fom_as: tuple[str, ...] = _option(
        RECORDING,
        (),
        "how to read a figure of merit: NAME=WORD,..., where the words are its kind (rate, speed, time, work, value), "
        "which number counts (last, mean, sum, max, min), and of which ranks (all, or the number of one)",
        value="NAME=WORDS",
    )

    independent: bool = _option(
        WHAT, False, "the ranks of the program are meant to work without each other: do not warn that they do"
    )
    rendezvous: Literal["gloo", "mpi"] | None = _option(
        WHAT,
        None,
        "how the ranks find each other (their rendezvous): over TCP by Gloo, or by MPI; by default mpi for a program "
        "that uses MPI, else what the site says",
    )
    container: str | None = _option(
        WHAT,
        None,
        "container image in which the ranks run; the site says which container runtime starts it",
        value="IMAGE",
    )
    seed: Seed = _option(WHAT, 0, "seed of everything random in a workload")
    snapshot: bool = _option(
        WHAT,
        True,
        "copy the code into the run as it is submitted, and run the copy; with --no-snapshot the code runs from its "
        "place, and each attempt reports whether it has changed",
    )
    snapshot_limit: Positive = _option(WHAT, 256.0, "largest copy of the code, in MiB", value="MIB")
    stage_env: bool = _option(
        WHAT,
        False,
        "pack the Python environment once, send it to a local disk of each node, and start the ranks from there",
    )
