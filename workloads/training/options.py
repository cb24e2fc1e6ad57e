"""The options that the training loop has for every workload, and the parts of a run's plan that follow from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from launch.errors import Refusal
from launch.plan.typed import Bounds, Count, Natural, NotNegative, Positive
from workloads.training import engines, halving, scaling_rules, trace_window
from workloads.training.scaling_rules import LearningRatePlan, ScaledRate

Part = Annotated[float, Bounds(0, below=1)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Training:
    """The options that the training loop has for every workload; a workload's Config adds its own.

    The bounds of values are in their types, and checked where options are read. A Config with a ``__post_init__`` of
    its own calls ``Training.__post_init__(self)`` first.

    Raises
    ------
    Refusal
        If values do not fit together.
    """

    epochs: Positive = 10  # passes over the training set at one rank
    batch: Count = 32  # examples per rank per step
    lr: Positive = 1e-3  # learning rate at one rank
    lr_scaling: Literal["linear", "sqrt", "none"] = field(
        default="linear", metadata={"was": "scaling"}
    )  # how the learning rate grows with the number of ranks
    warmup: Part = 0.1  # part of the steps in which the learning rate rises to its scaled value
    warm_from: NotNegative | None = None  # learning rate at which the warm-up begins; not given: --lr
    decay: Literal["constant", "cosine"] = "cosine"  # the learning rate after the warm-up
    epoch_scaling: Literal["none", "divide", "steps"] = "none"  # with the number of ranks: epochs are held, divided
    # by it (rounded up), or multiplied by it so that the optimizer steps are held
    until: str = ""  # epochs after which the runs of a study are compared, and only the best go on: 1,3,9. Which part
    # of them goes on is the ratio of a number and the next: here a third
    evaluate_every: NotNegative = 1  # epochs between evaluations; 0: only at the end
    checkpoint_every: NotNegative = 300  # seconds between checkpoints; 0: only when stopped and at the end
    keep: Count = 2  # checkpoints that are kept
    shards: Natural = 0  # of the training set; 0: one per rank. A fixed number, a multiple of that of the ranks, makes
    # the order of the examples independent of the number of ranks
    deterministic: bool = False  # bit-identical results from run to run, at some cost in speed
    xla: bool = False  # compile loss and gradients with XLA
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # of the arithmetic; weights are always float32.
    # float16 with a loss scale that follows the gradients
    accumulate: Count = 1  # equal parts of a batch that go through the network one after the other: less memory
    compress: bool = False  # send gradients between the ranks as float16
    bucket_mb: NotNegative = 0  # MiB of gradients per message, each of which is sent while the backward pass makes the
    # next; 0: all in one message at its end
    engine: Literal["horovod", "jax"] | None = None  # the framework that trains, and averages the gradients of the
    # ranks: TensorFlow with Horovod, or JAX; not given: Horovod where it is installed, otherwise JAX
    strategy: Literal["horovod", "mirrored", "single"] = "horovod"  # ranks that average their gradients; one rank on
    # all its devices, by TensorFlow's MirroredStrategy (two made of the processor where there is no GPU); one on one
    threads: Natural = 0  # of a rank, for the operations of its network; 0: its share of the node's cores
    trace: str = ""  # steps that the engine's profiler records, first and last: 20..30
    trace_ranks: str = "0"  # ranks on which the profiler records: 0, or 0,4..7, or first-of-node, or all
    timeline: bool = False  # record what Horovod does in the steps of --trace; no step of the run is timed then
    cache: NotNegative = 1  # GiB per rank to keep examples in memory, once for the training set and once for the
    # validation set; 0: read them again in every epoch
    stage: str = ""  # folder on a disk of each node, such as '$TMPDIR' (expanded there), to which the files that its
    # ranks read are copied first
    tensorboard: bool = True  # write what TensorBoard shows into the run

    def __post_init__(self) -> None:
        if self.batch % self.accumulate:
            raise Refusal(
                f"--accumulate {self.accumulate} does not divide a batch of {self.batch} evenly: "
                "give a number that divides --batch"
            )
        if self.strategy == "mirrored" and (self.accumulate > 1 or self.xla or self.precision == "float16"):
            raise Refusal(
                "--strategy mirrored goes with neither --accumulate, --xla nor --precision float16: leave them out"
            )
        if self.bucket_mb and (self.xla or self.accumulate > 1 or self.strategy != "horovod"):
            raise Refusal(
                f"--bucket-mb {self.bucket_mb:g} goes with neither --xla, --accumulate nor another --strategy, whose "
                "gradients come all at once: leave one out"
            )
        if self.warm_from is not None and not self.warmup:
            raise Refusal(f"--warm-from {self.warm_from} with --warmup 0: give --warmup above 0, or leave it out")
        if not trace_window.steps(self.trace) and self.timeline:
            raise Refusal("--timeline needs to know in which steps: give them as --trace 20..30")
        lacking = {
            "--timeline": self.timeline,
            "--compress": self.compress,
            "--bucket-mb": self.bucket_mb > 0,
            "--strategy mirrored": self.strategy == "mirrored",
        }
        if any(lacking.values()) and engines.likely(self.engine).name == "jax":
            named = ", ".join(name for name, given in lacking.items() if given)
            raise Refusal(f"--engine jax has no {named}: leave it out, or give --engine horovod")

    def learning_rate_plan(self, size: int) -> LearningRatePlan:
        """Return the learning rate of a run on that many ranks, for its plan and its training."""
        rules = {"linear": f"{self.lr:g} x {size}", "sqrt": f"{self.lr:g} x sqrt({size})", "none": "not scaled"}
        return ScaledRate(
            start=self.lr if self.warm_from is None else self.warm_from,
            peak=self.lr * scaling_rules.LEARNING_RATE_FACTORS[self.lr_scaling](size),
            rule=f"{self.lr_scaling}: {rules[self.lr_scaling]}",
            warmup=self.warmup,
            decay=self.decay,
        )

    def scaled_epochs(self, size: int) -> float:
        """Return the epochs of a run on that many ranks."""
        return scaling_rules.EPOCHS[self.epoch_scaling](self.epochs, size)

    def strong(self, base: int, size: int) -> Self:
        """Return these options for more ranks that do the base's work: same global batch, epochs and learning rates.

        Parameters
        ----------
        base, size : int
            Number of ranks of the base, and of the run.

        Raises
        ------
        Refusal
            If the global batch cannot be divided evenly.
        """
        together = self.batch * base
        if together % size:
            raise Refusal(f"a global batch of {together} cannot be divided among {size} ranks: give a --batch that can")
        return dataclasses.replace(
            self,
            batch=together // size,
            lr=self.lr * scaling_rules.LEARNING_RATE_FACTORS[self.lr_scaling](base),
            lr_scaling="none",
            warm_from=self.lr if self.warm_from is None and self.warmup else self.warm_from,
            epochs=self.scaled_epochs(base),
            epoch_scaling="none",
        )

    def lacking(self, size: int, gpus: bool = False) -> str:
        """Return what keeps the engine from training in this Python, in words; nothing if it can."""
        return engines.lacking(self.engine, size, gpus)

    def refuse_missing(self, size: int, gpus: bool = False) -> None:
        """Make sure that the engine is installed in this Python, for that many ranks, and for GPUs if they have some.

        Raises
        ------
        Refusal
            If it is not installed, or not completely.
        """
        engines.refuse_missing(self.engine, size, gpus)

    def refuse_mixed(self, others: Sequence[Self]) -> None:
        """Make sure that these runs can be a study, or that a single one can be a run by itself.

        Raises
        ------
        Refusal
            If their engines differ, or a single run is to be compared with others.
        """
        engines.refuse_mixed([other.engine for other in others])
        if self.until and len(others) == 1:
            raise Refusal(
                f"--until {self.until} compares the runs of a study, and this is one run: give it --sweep or "
                "--repeats, or leave --until out"
            )

    def describe(self, size: int) -> dict[str, str]:
        """Return what follows from the number of ranks, for the plan.

        Parameters
        ----------
        size : int
            Number of ranks.

        Returns
        -------
        dict of str to str
            Label and text of each line.

        Raises
        ------
        Refusal
            If that many ranks cannot train with these options.
        """
        if self.shards % size:
            raise Refusal(f"--shards {self.shards} cannot be shared by {size} ranks: give a multiple of {size}, or 0")
        if self.strategy != "horovod" and size > 1:
            raise Refusal(
                f"--strategy {self.strategy} is for one rank, and these are {size}: give --nodes 1 --ntasks-per-node 1"
            )
        why = {"none": "", "divide": f" = ceil({self.epochs:g} / {size})", "steps": f" = {self.epochs:g} x {size}"}
        lines = {
            "engine": engines.likely(self.engine).text(),
            "global batch": f"{self.batch * size} examples = {size} x {self.batch}",
            "learning rate": self.learning_rate_plan(size).text(),
            "epochs": f"{self.scaled_epochs(size):g}{why[self.epoch_scaling]}",
        }
        if found := halving.rungs(self.until, self.scaled_epochs(size)):
            lines["until"] = "; ".join(f"{each.after} {each.going_on:.0%} go on" for each in found)
        if self.precision != "float32":
            scale = ", with a loss scale" if self.precision == "float16" else ""
            lines["precision"] = f"{self.precision}, weights in float32{scale}"
        if self.accumulate > 1:
            part = self.batch // self.accumulate
            lines["accumulation"] = f"{self.accumulate} parts of {part} examples per step"
        if self.compress and size > 1:
            lines["compression"] = "gradients are sent as float16"
        if self.bucket_mb and size > 1:
            lines["gradients"] = f"sent in messages of {self.bucket_mb:g} MiB while others are computed"
        if self.xla:
            lines["compiler"] = "XLA, for loss and gradients"
        if self.stage:
            lines["staging"] = f"the files that a node reads are copied to {self.stage} first"
        if self.trace:
            steps = trace_window.steps(self.trace)
            from launch.node.rank import Rank

            trace_window.includes(self.trace_ranks, Rank(size=size))
            timeline = ", with a timeline of Horovod" if self.timeline and size > 1 else ""
            lines["trace"] = f"steps {steps[0]} to {steps[-1]} on rank {self.trace_ranks}{timeline}"
        return lines
