"""The job in which this process runs, if it runs in one; the launcher's runs become steps of that allocation."""

import dataclasses
import importlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from launch.errors import Refusal
from launch.plan import queueing
from launch.plan.inherited import clean
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.site import Site
from launch.plan.typed import Launcher
from launch.plan.walltime import clock, exceeds, walltime

ENDING_S = 10
"""Seconds before the end of the allocation at which its runs are ended, so that they can still record it."""

_OF_A_JOB = ("partition", "account", "qos", "constraint", "sbatch_arg", "inherit", "stage_env", "spare_nodes")
_ANSWER_S = 20.0


class Allocation(NamedTuple):
    """The resources of a job."""

    id: str
    nodes: tuple[str, ...]
    cpus: int | None  # cores of the node that has the fewest; None if only the site file can say
    gpus: int | None  # the same for GPUs
    end: float | None  # Unix seconds; None without a time limit
    in_step: bool = False  # whether this process is in a step, which holds what further steps need
    scheduler: str = "slurm"

    @property
    def left_s(self) -> int | None:
        """Seconds that the job still lasts, without those for ending a run; None without a limit."""
        return None if self.end is None else max(0, int(self.end - time.time()) - ENDING_S)

    @property
    def text(self) -> str:
        """Description of the job, for the plan."""
        nodes = f"{len(self.nodes)} node{'s' * (len(self.nodes) > 1)}"
        return f"job {self.id} ({nodes}, {'no limit' if self.left_s is None else f'{clock(self.left_s)} left'})"

    def request(self, asked: Request, given: Mapping[str, Any]) -> tuple[Request, list[str]]:
        """Return the request, changed for steps, and the options that do not apply to steps; these are kept for a later
        new job.

        Parameters
        ----------
        asked : Request
            The options, including those of a definition and of the user's defaults.
        given : mapping
            Options of the command line.

        Raises
        ------
        Refusal
            If one of these is only for a new job.
        """
        for name in _OF_A_JOB:
            if given.get(name):
                raise Refusal(self.no_option(f"--{name.replace('_', '-')}"))
        if asked.pack and "throttle" in given:
            raise Refusal("--throttle is for runs side by side, and --pack for one after the other: leave one out")
        fields: dict[str, Any] = {"inherit": ()}
        if "time" not in given and exceeds(walltime(asked.time), self.left_s):
            fields["time"] = None
        if asked.pack:  # they follow each other in one allocation: this one
            fields |= {"pack": False, "throttle": 1}
        passed_over = [name for name in _OF_A_JOB if getattr(asked, name)] + ["time"] * ("time" in fields)
        return dataclasses.replace(asked, **fields), passed_over

    def no_option(self, option: str) -> str:
        """Return why an option of the command line is refused."""
        return (
            f"{option} is for a new job, and this runs in job {self.id}, of which the runs become steps: leave it "
            "out, or give --new-job"
        )

    def site(self, here: Site) -> Site:
        """Return the site, as seen from this allocation."""
        cpus = min((count for count in (self.cpus, here.cpus_per_node) if count is not None), default=None)
        ranks = here.ranks_per_node and min(here.ranks_per_node, cpus or here.ranks_per_node)
        own = {"cpus_per_node": cpus, "ranks_per_node": ranks}
        own |= {} if self.gpus is None else {"gpus_per_node": self.gpus}
        own |= {"launcher": self._launcher(here.launcher)}
        none = {"time": None, "partitions": {}}  # the limits of partitions do not apply
        return dataclasses.replace(
            here, name=f"job {self.id}", backend="allocation", nodes=len(self.nodes), **own, **none
        )

    def refuse(self, plans: Sequence[Plan]) -> None:
        """Refuse runs that do not fit into the allocation.

        Raises
        ------
        Refusal
            If one does not fit; the message says what is possible.
        """
        for plan in plans:
            of_a_node = f"of a node of job {self.id}"
            if plan.nodes > len(self.nodes):
                what = f"--nodes {plan.nodes} is more than job {self.id} has ({len(self.nodes)})"
            elif self.gpus is not None and plan.gpus_per_node > self.gpus:
                what = f"{plan.gpus_per_node} GPUs on each node are more than those {of_a_node} ({self.gpus})"
            elif self.cpus is not None and (cores := plan.ranks_per_node * (plan.cpus_per_task or 1)) > self.cpus:
                what = f"{cores} cores on each node are more than those {of_a_node} ({self.cpus})"
            elif exceeds(plan.time_s, self.left_s):
                of = clock(plan.time_s) if plan.time_s else "UNLIMITED"
                what = f"--time {of} is more than is left of job {self.id} ({clock(self.left_s or 0)})"
            else:
                continue
            raise Refusal(f"{what}: ask for less, or give --new-job")

    def place(self, plan: Plan) -> Plan:
        """Return the plan of a run that was planned elsewhere, changed into that of a step of this allocation."""
        launcher = self._launcher(plan.launcher) if plan.launcher else None
        return dataclasses.replace(
            plan, backend="allocation", launcher=launcher, max_jobs=None, spare_nodes=0, staged=None
        )

    def _launcher(self, chosen: Launcher | None) -> Launcher:
        """Return what starts the steps: only in PBS can the site choose it."""
        return (chosen if self.scheduler == "pbs" else None) or queueing.STARTS_BY[self.scheduler]


class Found(NamedTuple):
    """Whether this process runs in a job."""

    allocation: Allocation | None = None
    why: str = ""  # why runs are not steps of the job that the environment names


def here(scheduler: str, gpu_resource: str = "ngpus") -> Found:
    """Return the job of a scheduler that the environment names, if it is running and is this user's.

    Parameters
    ----------
    scheduler : str
        "slurm", "pbs" or "flux"; for any other scheduler nothing is found.
    gpu_resource : str
        The resource that counts GPUs in PBS; empty if there is none.

    Raises
    ------
    Refusal
        If the scheduler does not answer, so that this is unknown, or runs cannot be started from here.
    """
    return _of(scheduler).here(os.environ, gpu_resource) if scheduler in queueing.TITLES else Found()


def number(scheduler: str) -> str:
    """Return the id of that job, from the environment alone; empty outside of one."""
    return _of(scheduler).number(os.environ)


def _of(scheduler: str) -> Any:
    return importlib.import_module(f"launch.plan.within.{scheduler}")


def asked(words: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str] | None:
    """Return the answer of a scheduler's command; None if there is no such command here."""
    try:
        return subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=_ANSWER_S, env=clean(environ)
        )
    except OSError:
        return None
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"no answer within {_ANSWER_S:.0f} s")


def silent(variable: str, job: str, title: str, said: str) -> Refusal:
    """Return the refusal for a scheduler that does not say whether this is its job."""
    return Refusal(
        f"{variable} says that this runs in job {job}, and {title} does not answer ({' '.join(said.split())}): try "
        "again later, or give --new-job"
    )
