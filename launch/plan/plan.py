"""The plan of a run: the content of run.json, which is all that is needed to start it, now or again."""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict

from launch.errors import Refusal
from launch.plan import figures, typed
from launch.plan.typed import Backend, Bounds, Count, Launcher, Natural, NotNegative, Seed
from launch.plan.walltime import UNLIMITED

BY_NUMBER = "their numbers"
"""A plan's ``cooperation`` for ranks that, as far as can be seen, never meet, but know their own numbers."""


def scheduler_of(backend: Backend | Literal["allocation"], launcher: str | None) -> Backend:
    """Return the scheduler of a run: its backend or, for a step, that of the allocation, which follows from the
    launcher."""
    if backend != "allocation":
        return backend
    return "slurm" if launcher in (None, "srun") else "flux" if launcher == "flux" else "pbs"


class Staged(TypedDict):
    """The packed environment of the interpreter: see `launch.record.packed`."""

    archive: str
    files: Natural
    kib: Natural  # size when unpacked
    python: str  # the interpreter in it
    start: str  # the toolkit's own command in it; empty if that lies elsewhere
    outside: list[str]  # where the interpreter finds modules beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The content of run.json, which is all that is needed to start the run, now or again.

    A field that was added later has a default, so that runs of older versions can be continued.
    """

    name: str
    site: str
    site_file: str | None = None  # path of the site file, if it is the user's own
    backend: Backend | Literal["allocation"]  # allocation: steps of the job in which the launcher runs
    kind: str
    workload: str
    arguments: tuple[str, ...]
    entry: tuple[str, ...]  # words after the interpreter; for a program, its command
    describe: dict[str, str] = field(default_factory=dict)  # what the workload derives from the number of ranks
    cwd: str
    python: str
    pythonpath: tuple[str, ...]  # where the launcher found modules, besides the interpreter's own
    seed: Seed
    sample_hz: NotNegative = 1.0
    max_attempts: Natural = 1
    nodes: Count
    ranks_per_node: Count
    gpus_per_node: Natural
    cpus_per_task: Count | None
    time_s: Annotated[int, Bounds(0)] | None  # 0: unlimited
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    job_name: str
    rendezvous: str
    cooperation: str | None = None  # what makes the ranks cooperate; "": nothing known; None: not knowable
    independent: bool = False  # whether the ranks are meant to work without each other
    mpi: str | None = None
    share_gpus: bool = False
    gpu_type: str | None
    gpu_request: str
    gpu_binding: str  # from the site or the request, else "auto"; "none" hides all GPUs
    gpu_variable: str
    gpu_order: str = "forward"
    network_interface: str | None = None
    interconnect: str | None = None  # network between the site's nodes
    require_network: bool = False  # end the run if NCCL uses sockets instead
    container: str | None = None  # the image
    container_runtime: str | None = None
    container_python: str = "python3"
    container_args: tuple[str, ...] = ()
    container_binds: tuple[str, ...] = ()  # folders that are visible in the container
    staged: Staged | None = None  # the Python environment that is copied to the disks of the nodes
    node_disk: str | None = None  # the folder for the staged environment
    modules: tuple[str, ...]
    setup: tuple[str, ...]
    env: dict[str, str]
    directives: dict[str, str]
    sbatch_args: tuple[str, ...]
    srun_args: tuple[str, ...]  # further arguments of srun, or of whatever else starts the ranks
    launcher: Launcher | None = None  # what starts the ranks, if it is not srun
    gpu_resource: str = "ngpus"  # this and the next four are for PBS
    chunk: dict[str, str] = field(default_factory=dict)
    place: str = "scatter"
    resources: dict[str, str] = field(default_factory=dict)
    account_option: str = "A"
    fom: dict[str, figures.Figure] = field(default_factory=dict)  # figures of merit that the program prints
    scaling: figures.Scaling = "weak"  # the scaling of its study
    pack: bool = False  # run in one allocation with the other runs of its study
    stop_below: float | None = None  # skip the run if smaller points of its study are less efficient
    inherited: dict[str, str] = field(
        default_factory=dict
    )  # Slurm's variables that come from the launcher's environment
    signal_s: Natural = 120  # seconds before the time limit, for ranks that handle the warning
    warn: bool = False  # whether a program that is not a workload handles the warning
    hang_s: NotNegative = 0.0  # seconds without a sign of life until the run is ended as hung; 0: never
    spare_nodes: Natural = 0  # further nodes in the allocation
    patience_s: Natural = 300
    poll_s: Natural = 0  # least time between two questions to the scheduler
    max_jobs: Natural | None = None  # most jobs in the partition's queue; each run of an array counts as one

    @property
    def gpus_per_rank(self) -> int:
        """Number of GPUs that each rank has, including those that it shares."""
        ranks = self.size if self.backend == "local" and self.share_gpus else self.ranks_per_node
        return max(1, self.gpus_per_node // ranks) if self.gpus_per_node else 0

    @property
    def size(self) -> int:
        """Number of ranks."""
        return self.nodes * self.ranks_per_node

    @property
    def on_their_own(self) -> bool:
        """Whether there are several ranks that work without each other, as far as can be seen."""
        return self.kind != "workload" and self.size > 1 and (self.independent or self.cooperation == "")

    @property
    def allocated_nodes(self) -> int:
        """Number of nodes of the run's job, including spare ones."""
        return self.nodes + self.spare_nodes

    @property
    def scheduler(self) -> Backend:
        """The scheduler that has the job of the run, or the job of which the run is a step; "local" on this machine."""
        return scheduler_of(self.backend, self.launcher)

    @property
    def is_queued(self) -> bool:
        """Whether the run waits in the queue of a scheduler."""
        return self.backend not in ("local", "allocation")

    @property
    def handles_warning(self) -> bool:
        """Whether the ranks save, leave and end with 75 at SIGUSR2."""
        return self.warn or self.kind == "workload"

    @property
    def ignores_warning(self) -> bool:
        """Whether the ranks ignore SIGUSR2: they do not handle it, and nobody has asked Slurm for a signal."""
        asked = "signal" in self.directives or any(word.startswith("--signal") for word in self.sbatch_args)
        return not self.handles_warning and not asked

    @property
    def warning_s(self) -> int | None:
        """How many seconds before the time limit the ranks are warned; None if they are not."""
        if not self.handles_warning or self.time_s == UNLIMITED:
            return None
        # Slurm would send the signal at once if the limit is nearer than that.
        return min(self.signal_s, self.time_s // 2) if self.time_s else self.signal_s

    def to_json(self) -> dict[str, Any]:
        """Return the content of run.json."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, table: Any) -> "Plan":
        """Read run.json back.

        Raises
        ------
        Refusal
            If it lacks something essential, has a value of a wrong type, or has something that this version does not
            know.
        """
        try:
            return typed.build(cls, table, "run.json", ignored=("commit",))
        except Refusal as refusal:
            raise Refusal(
                f"{refusal}; use the version of the toolkit that made the run, or start it again under another --name"
            ) from None
