"""The training loop of one attempt: steps, evaluations, checkpoints, in an order on which all ranks agree."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rankloop import _pulse

from launch.node import stop
from launch.record.rundir import RunDir
from profiling.telemetry.records import StepWriter
from profiling.traces.parts import INPUT
from workloads.api import Training, Workload
from workloads.training import checkpoints, resuming
from workloads.training.engines.interface import Communicator, Engine
from workloads.training.evaluation import Evaluation
from workloads.training.halving import Halving, Verdict
from workloads.training.sharding import Sharding
from workloads.training.step import Diverged
from workloads.training.tracing import Tracing

if TYPE_CHECKING:
    from workloads.training.tensorboard import Board


class Loop:
    """The training of a workload from the first step to the last.

    Parameters
    ----------
    engine : Engine
        Engine that runs the training steps.
    config : Training
        Options of the run.
    workload : Workload
        Workload to train.
    optimizer : keras.optimizers.Optimizer
        Optimizer made by ``communicator.averaging``, and built.
    communicator : Communicator
        The ranks; ``communicator.rank`` is this one.
    sharding : Sharding
        Which examples each step takes on each rank.
    run : RunDir
        Folder of the run, for records, checkpoints and events.
    attempt : int
        Number of the attempt, counted from 1.
    """

    def __init__(
        self,
        engine: Engine,
        config: Training,
        workload: Workload,
        optimizer: Any,
        communicator: Communicator,
        sharding: Sharding,
        run: RunDir,
        attempt: int,
    ) -> None:
        self._engine = engine
        self.config, self.workload, self.communicator = config, workload, communicator
        self.sharding, self.run, self.attempt = sharding, run, attempt
        self.rank = communicator.rank
        self.step = 0  # steps made
        self.timed_steps = 0  # number of those that seconds["train"] counts
        phases = ("compile", "train", "evaluate", "checkpoint", "trace", "record")
        self.seconds: dict[str, float] = dict.fromkeys(phases, 0.0)  # over all attempts
        self.ended_early: tuple[float, Verdict] | None = None  # the epochs, and the verdict that ended it
        self.ranks_agree = True  # whether all held the same weights, to the bit, at every checkpoint
        self.board: Board | None = None  # on the chief, if one is wanted
        self._variables = [*workload.model.variables, *optimizer.variables]
        ways = config.xla, config.accumulate, config.deterministic
        self.make_step = engine.Step(workload, optimizer, communicator, *ways)
        self._tracing = Tracing(engine, config, communicator, run, attempt)
        cache = round(config.cache * 2**30)
        self._examples = engine.Pipeline(workload.train, cache)
        self._evaluation = Evaluation(engine, workload, communicator, config.batch, cache)
        self._measured: tuple[int, dict[str, float]] | None = None  # step and metrics of the last evaluation
        self._saved_step, self._saved_at = 0, time.monotonic()
        self._pulse = _pulse.current()

    def restore(self) -> None:
        """Go back to the newest checkpoint, or to the chief's first weights if there is none.

        Raises
        ------
        Refusal
            On every rank, if the checkpoint is that of another network, or was made with other examples per step.
        """
        before = resuming.agreed(self.run, self._variables, self.sharding, self._engine.name, self.communicator)
        self.step, self.timed_steps, self.ranks_agree = before.step, before.timed_steps, before.ranks_agree
        self.seconds |= before.seconds
        self.communicator.broadcast(self._variables)
        resuming.seed_noise(self.workload.model, self.sharding.seed, self.rank.rank)
        self._saved_step, self._saved_at = self.step, time.monotonic()

    def train(self, steps: int) -> bool:
        """Make all steps that are missing.

        Parameters
        ----------
        steps : int
            Number of steps of the whole run.

        Returns
        -------
        bool
            True if the steps are made, or if others of the study are so much better that it ended early; False if the
            run was asked to stop. In any case the last step has a checkpoint.

        Raises
        ------
        Diverged
            On every rank, if the loss or the weights of any are not finite; the checkpoints stay as they were.
        """
        self._tracing.refuse_beyond(steps)
        with _pulse.phase("evaluate"), self._clock("compile"):
            self._evaluation.rehearse()
        every = self.config.evaluate_every
        evaluate_every = max(1, round(every * self.sharding.steps_per_epoch)) if every else steps
        halving = Halving(self.config.until, steps, self.sharding.steps_per_epoch, self.workload.target, self.run)
        stopping = False
        with (
            _pulse.phase("steps"),
            contextlib.closing(self._examples(self.sharding.batches(self.rank.rank, self.step, steps))) as batches,
            StepWriter(self.run.node_steps(self.rank.node), self.rank.rank, self.attempt) as records,
        ):
            while self.step < steps and not stopping and not self._ends_early(halving):
                with _pulse.phase("trace"):
                    self._tracing.before(self.step + 1)
                stopping, save = self._one_step(batches, records)
                with _pulse.phase("trace"):
                    self.seconds["trace"] += self._tracing.after(self.step, last=stopping or self.step == steps)
                compare = halving.at(self.step) is not None  # evaluates too
                evaluate = self.step % evaluate_every == 0 and self.step < steps and not stopping and not compare
                if evaluate or save or compare:
                    with self._clock("record"):
                        records.flush()
                if evaluate:
                    self.evaluate()
                if save and not stopping:
                    self.save()
        if self._saved_step != self.step:
            self.save()
        return not stopping

    def _one_step(self, batches: Iterator, records: StepWriter) -> list[bool]:
        with self._tracing.mark(self.step + 1):
            start, begin = time.time(), time.perf_counter()
            with self._engine.span(INPUT):
                inputs, targets = next(batches)
            input_seconds = time.perf_counter() - begin
            # The chief's clock decides when it is time for a checkpoint, a signal to any rank that it is time to stop.
            due = self.rank.is_chief and 0 < self.config.checkpoint_every <= time.monotonic() - self._saved_at
            try:
                outcome = self.make_step(self.step + 1, inputs, targets, [stop.requested(), due])
            except Diverged as error:
                raise Diverged(f"{error}; {self._last_checkpoint()}") from None
            seconds = time.perf_counter() - begin
        traced = self._tracing.disturbs(self.step + 1)
        self.seconds["compile" if outcome.compiled else "trace" if traced else "train"] += seconds
        self.timed_steps += not (outcome.compiled or traced)
        with self._clock("record"):
            records.write(
                epoch=self.step // self.sharding.steps_per_epoch,
                step=self.step + 1,
                start=round(start, 6),
                seconds=round(seconds, 7),
                input_seconds=round(input_seconds, 7),
                examples=self.sharding.batch,
                own_seconds=round(input_seconds + outcome.gradient_seconds, 7),
                loss=outcome.loss,
                learning_rate=outcome.learning_rate,
                traced=traced,
                compiled=outcome.compiled,
            )
            self.step += 1
            if self._pulse:
                self._pulse.beat(self.step)
            if self.board:
                rate = None if outcome.compiled or traced else self.sharding.batch * self.sharding.size / seconds
                self.board.trained(self.step, outcome.loss, outcome.learning_rate, rate)
        return outcome.flags

    def _ends_early(self, halving: Halving) -> bool:
        """Return whether this run is at a rung at which others are better."""
        rung = halving.at(self.step)
        if rung is None:
            return False
        verdict = halving.agreed(rung, self.evaluate(until=rung.epochs), self.communicator)
        self.ended_early = None if verdict.goes_on else (rung.epochs, verdict)
        return not verdict.goes_on

    def evaluate(self, **noted: float) -> dict[str, float]:
        """Return the metrics of the validation set, which are measured once after a step and recorded as an event,
        together with what is ``noted``."""
        if self._measured and self._measured[0] == self.step:
            return self._measured[1]
        with _pulse.phase("evaluate"), self._clock("evaluate") as elapsed:
            metrics = self._evaluation()
        if self.rank.is_chief:
            epoch = self.step / self.sharding.steps_per_epoch
            self._note("evaluated", elapsed(), epoch=round(epoch, 4), metrics=metrics, **noted)
        if self.board:
            self.board.evaluated(self.step, metrics, self.workload.model)
        self._measured = self.step, metrics
        return metrics

    def save(self) -> None:
        """Write a checkpoint; return when it is on the disk. Every rank takes part, and its weights are checked.

        Raises
        ------
        Diverged
            On every rank, if the weights of any are not finite.
        """
        with _pulse.phase("checkpoint"), self._clock("checkpoint") as elapsed:
            model = self.workload.model
            different = resuming.compare(model, self.communicator, self.step, self._last_checkpoint())
            self.ranks_agree = self.ranks_agree and not different
            if self.rank.is_chief:
                if different:
                    print(f"after step {self.step} the weights of rank {different} are not those of rank 0", flush=True)
                if self.board:
                    self.board.flush()
                header = {
                    "engine": self._engine.name,
                    "sharding": asdict(self.sharding),
                    "timed_steps": self.timed_steps,
                    "seconds": self.seconds,
                    "ranks_agree": self.ranks_agree,
                }
                checkpoints.save(self.run.checkpoints, self.step, self._variables, header, self.config.keep)
            self.communicator.barrier()
        if self.rank.is_chief:
            self._note("checkpointed", elapsed())
        self._saved_step, self._saved_at = self.step, time.monotonic()

    def _last_checkpoint(self) -> str:
        step = self._saved_step
        return f"the last good checkpoint is that of step {step}" if step else "there is no checkpoint yet"

    def _note(self, event: str, seconds: float, **values: Any) -> None:
        self.run.append_event(event, attempt=self.attempt, step=self.step, seconds=round(seconds, 6), **values)

    @contextlib.contextmanager
    def _clock(self, phase: str) -> Iterator[Callable[[], float]]:
        """Time the block as part of that phase; the function that it gives returns the seconds so far."""
        start = time.perf_counter()
        yield lambda: time.perf_counter() - start
        self.seconds[phase] += time.perf_counter() - start
