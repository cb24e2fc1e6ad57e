"""The ranks of an attempt as a step of the allocation in which the launcher runs. One srun starts and ends them all."""

import functools
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence

from launch.backends import rank_command
from launch.backends.commands import command
from launch.backends.script import environment
from launch.backends.slurm.script import tasks
from launch.node import stop
from launch.plan.plan import Plan
from launch.plan.slurm import inherited
from launch.plan.slurm.allocation import Allocation
from launch.record.failures import job_log
from launch.record.rundir import RunDir

_LEAVING_S = 15.0  # for srun, which waits for its tasks to be killed
_OVERLAP = (20, 11)  # the first Slurm whose steps hold their resources exclusively by default


class Step:
    """The step of an attempt; the counterpart of `launch.backends.local.processes.Ranks` on this machine."""

    def __init__(self, run: RunDir, plan: Plan, number: int, within: Allocation, nodes: Sequence[str]) -> None:
        self.run = run
        self.first_bad: int | None = None  # status of the first rank that failed
        self.saved = False  # whether the status of the ranks says that they have saved and left
        self._job = within.id
        self._asked_to_end = self._over = False
        env = inherited.of_step()
        if not plan.time_s and within.left_s is not None:  # the time at which a program that asks is told to leave
            env["LAUNCH_LEAVE_AT"] = str(time.time() + within.left_s - min(plan.signal_s, within.left_s // 2))
        with open(run.job_log, "ab", buffering=0) as log:
            log.write(b"launch: attempt %d\n" % number)  # job.log holds all; diagnose looks for this
            self._srun = subprocess.Popen(
                ["bash", "-c", script(plan, within, nodes)],
                env=env,
                cwd=run.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # On SIGTERM srun kills its tasks; if it were killed itself, they would go on without it.
                preexec_fn=functools.partial(stop.die_with, os.getpid(), signal.SIGTERM),
            )

    def poll(self, timeout: float) -> bool:
        """Check whether the step has ended; True while it has not."""
        if self._over:
            return False
        try:
            status = self._srun.wait(timeout)
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
        """End what is left of it."""
        self._asked_to_end = True
        deadline = time.monotonic() + _LEAVING_S
        while self.poll(0.1):
            if time.monotonic() > deadline:
                if step := self._number():
                    command(["scancel", step])
                self._srun.kill()
            else:
                self._srun.terminate()

    def _signal(self, number: int) -> None:
        step = self._number()
        name = signal.Signals(number).name.removeprefix("SIG")
        answer = command(["scancel", f"--signal={name}", step]) if step else None
        if answer is None or answer.returncode:  # the step has not begun yet, or Slurm is silent
            self._srun.send_signal(number)

    def _number(self) -> str | None:
        """The ID of the step, as Slurm writes it."""
        answer = command(["scontrol", "--oneliner", "show", "step", self._job])
        lines = answer.stdout.splitlines() if answer else []
        own = re.compile(rf"StepId=(\S+) .* SrunHost:Pid=[^ :]+:{self._srun.pid}\b")
        return next((match[1] for line in lines if (match := own.search(line))), None)


def script(plan: Plan, within: Allocation, nodes: Sequence[str]) -> str:
    """The lines of shell that start the step, in the run directory."""
    return f"{environment(plan)}\nexec {shlex.join(_srun(plan, within, nodes))} {rank_command.line(plan)}"


def _srun(plan: Plan, within: Allocation, nodes: Sequence[str]) -> list[str]:
    # A step has whole nodes. Inside another step, which holds them already, it can only share them.
    sharing = ["--overlap" if within.in_step else "--whole"] if _version() >= _OVERLAP else []
    gpus = []
    if plan.gpu_binding == "none":
        gpus = ["--gres=none"]
    elif plan.gpus_per_node and plan.gpu_binding != "slurm":
        gpus = [f"--gres=gpu:{plan.gpus_per_node}"]
    return [
        "srun",
        f"--jobid={within.id}",
        f"--job-name={plan.job_name}",
        *sharing,
        f"--nodelist={','.join(nodes)}",
        f"--nodes={plan.nodes}",
        f"--ntasks={plan.size}",
        *gpus,
        *tasks(plan),
    ]


@functools.cache
def _version() -> tuple[int, ...]:
    answer = command(["srun", "--version"])
    return tuple(map(int, re.findall(r"\d+", answer.stdout)[:2])) if answer else ()
