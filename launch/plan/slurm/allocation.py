"""The Slurm job in which this process runs, if it runs in one; the launcher's runs become steps of that allocation."""

import dataclasses
import datetime
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from launch.errors import Refusal
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.site import Site
from launch.plan.slurm import hostlist
from launch.plan.slurm.inherited import clean
from launch.plan.slurm.walltime import clock, exceeds, walltime

ENDING_S = 10
"""Seconds before the end of the allocation at which its runs are ended, so that they can still record it."""

_OF_A_JOB = ("partition", "account", "qos", "constraint", "sbatch_arg", "inherit", "stage_env", "spare_nodes")
_ANSWER_S = 20.0


class Allocation(NamedTuple):
    """The resources of a job."""

    id: str
    nodes: tuple[str, ...]
    cpus: int  # cores of the node that has the fewest
    gpus: int
    end: float | None  # Unix seconds; None without a time limit
    in_step: bool  # whether this process is in a step, which holds what further steps need

    @property
    def left_s(self) -> int | None:
        """Seconds that it still lasts, without those for ending a run; None without a limit."""
        return None if self.end is None else max(0, int(self.end - time.time()) - ENDING_S)

    @property
    def text(self) -> str:
        """Its description, for the plan."""
        nodes = f"{len(self.nodes)} node{'s' * (len(self.nodes) > 1)}"
        return f"job {self.id} ({nodes}, {'no limit' if self.left_s is None else f'{clock(self.left_s)} left'})"

    def request(self, asked: Request, given: Mapping[str, Any]) -> tuple[Request, list[str]]:
        """The request, changed for steps, and the options that do not apply to steps; these are kept for a later new
        job.

        Parameters
        ----------
        asked : Request
            The options, including those of a definition and of the user's defaults.
        given : mapping
            Those of the command line.

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
        """Why an option of the command line is refused."""
        return (
            f"{option} is for a new job, and this runs in job {self.id}, of which the runs become steps: leave it "
            "out, or give --new-job"
        )

    def site(self, here: Site) -> Site:
        """The site, as seen from this allocation."""
        cpus = min(self.cpus, here.cpus_per_node or self.cpus)
        ranks = here.ranks_per_node and min(here.ranks_per_node, cpus)
        own = {"gpus_per_node": self.gpus, "cpus_per_node": cpus, "ranks_per_node": ranks}
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
            elif plan.gpus_per_node > self.gpus:
                what = f"{plan.gpus_per_node} GPUs on each node are more than those {of_a_node} ({self.gpus})"
            elif (cores := plan.ranks_per_node * (plan.cpus_per_task or 1)) > self.cpus:
                what = f"{cores} cores on each node are more than those {of_a_node} ({self.cpus})"
            elif exceeds(plan.time_s, self.left_s):
                of = clock(plan.time_s) if plan.time_s else "UNLIMITED"
                what = f"--time {of} is more than is left of job {self.id} ({clock(self.left_s or 0)})"
            else:
                continue
            raise Refusal(f"{what}: ask for less, or give --new-job")

    def place(self, plan: Plan) -> Plan:
        """The plan of a run that was planned elsewhere, changed into that of a step of this allocation."""
        return dataclasses.replace(plan, backend="allocation", max_jobs=None, spare_nodes=0, staged=None)


class Found(NamedTuple):
    """Whether this process runs in a job."""

    allocation: Allocation | None = None
    why: str = ""  # why runs are not steps of the job that the environment names


def here(environ: Mapping[str, str] = os.environ) -> Found:
    """The job that the environment names, if it is running and is this user's.

    Raises
    ------
    Refusal
        If Slurm does not answer, so that this is unknown.
    """
    number = environ.get("SLURM_JOB_ID", "")
    if not number.isdigit():
        return Found()
    try:
        # --details: what it has on each node.
        words = ["scontrol", "--oneliner", "--details", "show", "job", number]
        answer = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=_ANSWER_S, env=clean(environ)
        )
    except OSError:  # no Slurm here
        return Found()
    except subprocess.TimeoutExpired:
        answer = subprocess.CompletedProcess(words, 1, "", f"no answer within {_ANSWER_S:.0f} s")
    if answer.returncode:
        said = " ".join(answer.stderr.split())
        if "Invalid job id" in said:
            return Found(why=f"job {number} of SLURM_JOB_ID has ended")
        raise Refusal(
            f"SLURM_JOB_ID says that this runs in job {number}, and Slurm does not answer ({said}): try again later, "
            "or give --new-job"
        )
    fields = dict(re.findall(r"(?:^| )(JobState|UserId|EndTime|NodeList|NumCPUs)=(\S+)", answer.stdout))
    if fields.get("JobState") != "RUNNING":
        return Found(why=f"job {number} of SLURM_JOB_ID does not run ({fields.get('JobState', 'UNKNOWN').lower()})")
    if not fields.get("UserId", "").endswith(f"({os.getuid()})"):
        return Found(why=f"job {number} of SLURM_JOB_ID is {fields.get('UserId')}'s")
    return Found(_read(number, fields, answer.stdout, "SLURM_STEP_ID" in environ))


_NODES = r" Nodes=\S+ CPU_IDs=(\S*) Mem=\S* GRES=(\S*)"  # of nodes with equal resources


def _read(number: str, fields: Mapping[str, str], said: str, in_step: bool) -> Allocation:
    nodes, end = tuple(hostlist.expand(fields["NodeList"])), fields.get("EndTime", "")
    groups = re.findall(_NODES, said)
    kinds = [re.findall(r"gpu(?::([A-Za-z][^:(,]*))?:(\d+)", gres) for _, gres in groups]
    equal = int(fields.get("NumCPUs", 1)) // len(nodes)  # if Slurm gives no details
    return Allocation(
        id=number,
        nodes=nodes,
        cpus=min((len(hostlist.expand(f"[{ids}]")) for ids, _ in groups), default=max(1, equal)),
        gpus=min((sum(int(count) for _, count in counts) for counts in kinds), default=0),
        end=datetime.datetime.fromisoformat(end).timestamp() if re.match(r"\d{4}-", end) else None,
        in_step=in_step,
    )
