"""The window of steps that is profiled: the engine's profiler on the ranks that were chosen, and Horovod's timeline.

A profiler that fails costs the trace, never the training.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from launch.errors import Refusal
from launch.record.rundir import RunDir
from workloads.api import Training
from workloads.training import trace_window

if TYPE_CHECKING:
    from workloads.training.engines.interface import Communicator, Engine


class Tracing:
    """What is traced of an attempt, as one of its ranks sees it.

    Parameters
    ----------
    engine : Engine
        Engine whose profiler is used.
    config : Training
        Options, of which ``trace``, ``trace_ranks`` and ``timeline`` are used.
    communicator : Communicator
        The ranks.
    run : RunDir
        Folder of the run, for the traces.
    attempt : int
        Number of the attempt, counted from 1.

    Raises
    ------
    Refusal
        If a rank is chosen that does not exist.
    """

    def __init__(
        self, engine: "Engine", config: Training, communicator: "Communicator", run: RunDir, attempt: int
    ) -> None:
        self._engine = engine
        self._steps = trace_window.steps(config.trace)
        self._timeline = config.timeline and communicator.size > 1  # one rank has nobody to talk to
        self._communicator, self._run, self._attempt = communicator, run, attempt
        self._profiled = bool(self._steps) and trace_window.includes(config.trace_ranks, communicator.rank)
        self._open = self._profiling = False
        self._begin_s = 0.0

    def disturbs(self, step: int) -> bool:
        """Return whether a profiler runs in a step, on any rank, so that the step is not to be timed.

        With a timeline every step is disturbed: from the start of the run to its end, Horovod's writer keeps a core
        of the chief busy (measured with 0.28.1: 94 % of one while nothing was sent, and 3 % without).
        """
        return self._timeline or step in self._steps

    def refuse_beyond(self, steps: int) -> None:
        """Make sure that the window lies within the run.

        Raises
        ------
        Refusal
            If it ends after the last step.
        """
        if self._steps and self._steps[-1] > steps:
            raise Refusal(
                f"--trace {self._steps[0]}..{self._steps[-1]} ends behind the last step of the run: "
                f"give steps from 1 to {steps}"
            )

    def mark(self, number: int) -> contextlib.AbstractContextManager:
        """Return a context that marks a step in the trace, and does nothing outside the window."""
        if number not in self._steps:
            return contextlib.nullcontext()
        from profiling.traces.parts import STEP

        return self._engine.span(STEP, number)

    def before(self, number: int) -> None:
        """Begin the window if this step is in it. Every rank calls it before every step."""
        if not self._open and number in self._steps:
            self._begin()

    def after(self, number: int, last: bool) -> float:
        """End the window after its last step, and after the last one of the run. Every rank calls it after every step.

        Returns
        -------
        float
            Seconds that beginning and ending the window took, on this rank; 0 if it has not ended just now.
        """
        if not self._open or not (last or number == self._steps[-1]):
            return 0.0
        begin = time.perf_counter()
        self._end()
        return self._begin_s + time.perf_counter() - begin

    def _begin(self) -> None:
        begin = time.perf_counter()
        self._open = True
        with self._spared():
            self._run.traces.mkdir(exist_ok=True)
        if self._profiled:
            with self._spared():
                shutil.rmtree(self._own, ignore_errors=True)  # left by a rank that was killed while it wrote
                self._engine.start_profiler(self._own)
                self._profiling = True
        # The time that a profiler takes to start on one rank is not a wait for that rank within the step.
        self._communicator.barrier()
        if self._timeline:
            self._communicator.start_timeline(self._run.timeline(self._attempt))
        self._begin_s = time.perf_counter() - begin

    def _end(self) -> None:
        self._open = False
        if self._timeline:
            self._communicator.stop_timeline()
        if self._profiling:
            with self._spared():
                self._keep()
        self._communicator.barrier()  # nor is the time to read a trace a wait in the next step

    def _keep(self) -> None:
        from profiling.traces import store

        self._profiling = False
        self._engine.stop_profiler()
        rank = self._communicator.rank
        raw = self._run.raw_trace(self._attempt, rank.rank)
        raw.parent.mkdir(parents=True, exist_ok=True)
        # The profiler names the file by the host, which several ranks share.
        (written,) = self._own.glob("plugins/profile/*/*.xplane.pb")
        written.rename(raw)
        shutil.rmtree(self._own)
        store.write(self._run, rank.node, store.extract(self._run, self._attempt, rank.rank))

    @property
    def _own(self) -> Any:
        return self._run.traces / f".rank{self._communicator.rank.rank}"

    @contextlib.contextmanager
    def _spared(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of any kind: a trace is not worth a training
            rank = self._communicator.rank.rank
            print(f"rank {rank} has no trace ({type(error).__name__}: {error}): the training goes on", flush=True)
