"""The contents of the files of a run: the types of the values that are read back from them.

A key may be absent (in files of older versions) or unknown (of newer ones). A key that is null is dropped on reading.
"""

from typing import Annotated, Any, Literal, Required, TypedDict

from launch.plan.figures import Figure, Scaling
from launch.plan.typed import NUMBER, Bounds, NotNegative

Outcome = Literal["done", "failed", "refused", "stopped", "cancelled", "timeout"]
Count = Annotated[int, Bounds(1)]
Natural = Annotated[int, Bounds(0)]
Time = Annotated[float, Bounds(0, 1e11)]  # Unix seconds that time.localtime takes
Pid = Annotated[int, Bounds(1, 2**31 - 1)]  # os.kill takes others for groups, and for all processes


class PlanRecord(TypedDict, total=False):
    """The content of run.json, for code that only reads it: the fields of `launch.plan.plan.Plan` that such code
    uses."""

    name: str
    workload: Required[str]
    backend: Required[str]
    kind: str
    site: str
    entry: list[str]
    arguments: list[str]
    cwd: str
    seed: int
    nodes: Required[Count]
    ranks_per_node: Required[Count]
    gpus_per_node: Natural
    cpus_per_task: Count
    gpu_type: str
    max_attempts: Natural
    time_s: int
    site_file: str
    sbatch_args: list[str]
    directives: dict[str, str]
    inherited: dict[str, str]
    warn: bool
    hang_s: NotNegative
    spare_nodes: Natural
    sample_hz: NotNegative
    partition: str
    rendezvous: str
    fom: dict[str, Figure]
    scaling: Scaling
    commit: str


class FirstFailure(TypedDict, total=False):
    """The rank that failed first, in the event "ended"; a line of failures/ has the same keys."""

    rank: Required[Natural]
    node: Natural
    host: Required[str]
    error: Required[str]
    traceback: str
    time: Time
    attempt: Natural
    refused: bool
    address_space: Natural  # most bytes that a process of the rank may map (ulimit -v), if the node has more memory


class Hang(TypedDict, total=False):
    """The content of stacks/attempt<n>/hang.json, and of "hang" in the event "ended"."""

    time: Time
    timeout_s: NotNegative
    idle_s: NotNegative
    by: Natural  # the node whose watcher decided that the run hangs
    said: str
    rank: Natural  # the rank that is behind, if one is
    node: Natural
    host: str
    step: Natural
    at: str


class Event(TypedDict, total=False):
    """A line of events.jsonl."""

    event: Required[str]
    time: Required[Time]
    attempt: Natural
    host: str
    pid: Pid
    backend: str
    job: str
    submission: Natural
    nodes: str
    allocation: str  # the job in which an attempt is a step
    command: list[str]
    outcome: Outcome
    status: int
    reason: str
    first_failure: FirstFailure
    hang: Hang
    step: Natural
    epoch: NUMBER
    metrics: dict[str, Any]
    until: NUMBER  # epochs of the rung of --until at which an evaluation is compared
    network: str  # network that NCCL uses
    logs: list[Natural]  # length of each node's log when the attempt began
    code: str  # the name of the code from here on, or of an attempt's code
    code_hash: str
    changed: list[str]  # files that have changed since the submission


class JobRecord(TypedDict, total=False):
    """The content of job.json: the fields of `launch.record.job.Job`."""

    backend: Required[str]
    shape: Required[Literal["run", "array", "pack"]]
    runs: Required[list[str]]
    saves: Required[bool]
    name: Required[str]
    state: Required[Literal["asked", "submitted", "refused"]]
    id: str
    after: list[str]
    behind: list[str]
    throttle: Natural
    detached: bool
    token: str
    cluster: str
    made_for: str
    time: Time
    host: str
    command: list[str]


class TrainingRecord(TypedDict, total=False):
    """The content of training.json."""

    workload: str
    steps: Required[Natural]
    steps_per_epoch: Required[Count]
    epochs: Required[NotNegative]
    global_batch: Required[Count]
    examples: Natural
    validation_examples: Natural
    parameters: Natural
    gradients: list[dict[str, Any]]
    target: list[Any]
    plan: dict[str, Any]


class Result(TypedDict, total=False):
    """The content of result.json."""

    status: str
    ranks: Count
    nodes: Count
    attempts: Natural
    steps: Natural
    epochs: NotNegative
    throughput_examples_per_s: NotNegative
    slowest_to_fastest_rank: NotNegative  # ratio of their times for the same steps, if ranks do not wait for each other
    throughput: NotNegative  # throughput in a unit other than examples/s
    unit: str
    work: NotNegative  # work whose speed the throughput is
    flops_per_example: NUMBER
    flop_per_s: NUMBER
    peak_flop_per_s: NUMBER
    mfu: NUMBER
    metrics: dict[str, Any]
    units: dict[str, str]  # units of the metrics
    of_ranks: dict[str, str]  # figures that several ranks printed -> "all", or the rank whose number counts
    ended_early: dict[str, Any]  # by --until: epochs, and the place of the run among those that had come so far
    troubles: list[str]  # figures that could not be found
    phases_s: dict[str, float | None]
    versions: dict[str, str]


class World(TypedDict):
    """The content of meeting/world.json."""

    attempt: Natural
    by: str
    size: Natural


class NetworkUse(TypedDict, total=False):
    """The network that the ranks used, in env.json."""

    attempt: int
    gloo: dict[str, Any]  # interface, address
    nccl: dict[str, Any]  # the fields of `launch.record.network.Network`


class Surroundings(TypedDict, total=False):
    """The content of env.json."""

    host: str
    system: str
    cpu: str
    cores: int
    gpus: list[str]
    gpu_faults: list[str]
    driver: str
    python: str
    packages: dict[str, str]
    image_attempt: int  # attempt of the rank in a container that has recorded python and packages
    modules: list[str]
    environment: dict[str, str]
    network: NetworkUse


class StepRecord(TypedDict, total=False):
    """A line of steps/, as `launch.record.performance.steps.StepReader` gives it; `profiling.telemetry.records.STEP`
    explains each key."""

    rank: Required[int]
    attempt: Required[int]
    step: Required[int]
    start: Required[float]
    seconds: Required[float]  # may be zero, negative or not finite
    input_seconds: float
    own_seconds: float
    examples: float
    epoch: int
    loss: float
    compiled: bool
    traced: bool


class TreeRecord(TypedDict, total=False):
    """A folder of code, in code.json."""

    root: Required[str]
    folder: Required[str]  # folder of the copy, in .code
    what: Required[str]  # description in words
    files: Natural
    bytes: Natural
    commit: str
    notes: list[str]


class CodeRecord(TypedDict, total=False):
    """The content of code.json: the code of a run or study, as it was submitted."""

    commit: str
    snapshot: bool  # whether there is a copy, which the ranks run
    limit: NotNegative  # largest size of a copy, in MiB
    time: Time
    hash: str  # hash of all files
    trees: list[TreeRecord]
    notes: list[str]
