"""The srun command of a step: its words, and what Slurm says about the step."""

import functools
import re
import signal
from collections.abc import Sequence

from launch.backends.commands import command
from launch.backends.slurm.script import tasks
from launch.plan.plan import Plan
from launch.plan.within.allocation import Allocation

_OVERLAP = (20, 11)  # the first Slurm whose steps hold their resources exclusively by default


def words(plan: Plan, within: Allocation, nodes: Sequence[str]) -> list[str]:
    """Return the command, up to the words of a rank."""
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


def send(job: str, pid: int, number: int) -> bool:
    """Signal all ranks of the step that a process of srun has started; return False if there is none yet, or no
    answer."""
    step = _number(job, pid)
    name = signal.Signals(number).name.removeprefix("SIG")
    answer = command(["scancel", f"--signal={name}", step]) if step else None
    return answer is not None and not answer.returncode


def end(job: str, pid: int) -> None:
    """End that step."""
    if step := _number(job, pid):
        command(["scancel", step])


def _number(job: str, pid: int) -> str | None:
    """Return the ID of the step, as Slurm writes it."""
    answer = command(["scontrol", "--oneliner", "show", "step", job])
    lines = answer.stdout.splitlines() if answer else []
    own = re.compile(rf"StepId=(\S+) .* SrunHost:Pid=[^ :]+:{pid}\b")
    return next((match[1] for line in lines if (match := own.search(line))), None)


@functools.cache
def _version() -> tuple[int, ...]:
    answer = command(["srun", "--version"])
    return tuple(map(int, re.findall(r"\d+", answer.stdout)[:2])) if answer else ()
