"""The ranks of an attempt as a step of the allocation in which the launcher runs. One process, srun or the starter of
ranks, starts and ends them all."""

import functools
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence

from launch.backends import rank_command, starters
from launch.backends.allocation import srun
from launch.backends.script import environment
from launch.node import stop
from launch.plan import inherited
from launch.plan.plan import Plan
from launch.plan.within.allocation import Allocation
from launch.record.failures import job_log
from launch.record.rundir import RunDir

_LEAVING_S = 15.0  # longest wait for the process, which itself waits for its tasks to be killed


class Step:
    """The step of an attempt; the counterpart of `launch.backends.local.processes.Ranks` on this machine."""

    def __init__(self, run: RunDir, plan: Plan, number: int, within: Allocation, nodes: Sequence[str]) -> None:
        self.run = run
        self.first_bad: int | None = None  # status of the first rank that failed
        self.saved = False  # whether the status of the ranks says that they have saved and left
        self._job, self._by_srun = within.id, plan.launcher is None
        self._asked_to_end = self._over = False
        env = inherited.of_step()
        if not plan.time_s and within.left_s is not None:  # a program that asks is told when to leave
            env["LAUNCH_LEAVE_AT"] = str(time.time() + within.left_s - min(plan.signal_s, within.left_s // 2))
        with open(run.job_log, "ab", buffering=0) as log:
            log.write(b"launch: attempt %d\n" % number)  # job.log holds all; diagnose looks for this
            self._process = subprocess.Popen(
                ["bash", "-c", script(plan, within, nodes)],
                env=env,
                cwd=run.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # On SIGTERM the process kills its tasks; if it were killed itself, they would go on without it.
                preexec_fn=functools.partial(stop.die_with, os.getpid(), signal.SIGTERM),
            )

    def poll(self, timeout: float) -> bool:
        """Check whether the step has ended; return True while it has not."""
        if self._over:
            return False
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return True
        self._over, handles_warning = True, job_log.handles_warning(self.run)
        if status == stop.STOPPED and handles_warning:
            self.saved = True
        elif status and not (self._asked_to_end and (status > 128 or status < 0 or not handles_warning)):
            self.first_bad = status
        return False

    def warn(self) -> None:
        """Ask all ranks that can do so to save and leave."""
        self._signal(signal.SIGUSR2)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Ask all ranks to end."""
        self._asked_to_end = True
        self._signal(number)

    def kill(self) -> None:
        """Kill what is left of the step."""
        self._asked_to_end = True
        deadline = time.monotonic() + _LEAVING_S
        while self.poll(0.1):
            if time.monotonic() > deadline:
                if self._by_srun:
                    srun.end(self._job, self._process.pid)
                self._process.kill()
            else:
                self._process.terminate()

    def _signal(self, number: int) -> None:
        # Starters other than srun pass signals on to the ranks themselves.
        if not self._by_srun or not srun.send(self._job, self._process.pid, number):
            self._process.send_signal(number)


def script(plan: Plan, within: Allocation, nodes: Sequence[str]) -> str:
    """Return the lines of shell that start the step, in the run directory."""
    by_srun = plan.launcher is None
    start = shlex.join(srun.words(plan, within, nodes)) if by_srun else starters.of_step(plan, nodes)
    return f"{environment(plan)}\nexec {start} {rank_command.line(plan)}"
