"""The job in which this process runs, whichever scheduler has it: slurm.py, pbs.py or flux.py."""

import importlib
import os
from collections.abc import Sequence
from typing import Any

from launch.plan import hostlist
from launch.plan.plan import Plan
from launch.record.rundir import RunDir

_OTHERS = ("pbs", "flux")


def of(plan: Plan) -> Any:
    """Return the module that knows the job of a run."""
    return importlib.import_module(f"launch.node.job.{plan.scheduler if plan.scheduler in _OTHERS else 'slurm'}")


def noted(plan: Plan) -> dict[str, Any]:
    """Return what the beginning of an attempt records about its job; empty outside of a job."""
    own = of(plan)
    if (number := own.number()) is None:
        return {}
    if plan.backend in _OTHERS:
        return {"job": number, "nodes": own.nodes()}
    return {"job": number, "nodes": os.environ.get("SLURM_JOB_NODELIST"), "restarts": str(own.restarts())}


def lost(plan: Plan, hosts: Sequence[str]) -> set[str]:
    """Return the given nodes that the scheduler has lost, if it answers."""
    return of(plan).lost(hosts) if hosts else set()


def note_lost(run: RunDir, plan: Plan) -> None:
    """Write into job.log which nodes of the last attempt are lost, as srun does itself."""
    if plan.scheduler not in _OTHERS:
        return
    nodes = (run.events("started") or [{}])[-1].get("nodes") or ""
    if gone := lost(plan, hostlist.expand(nodes)):
        with open(run.job_log, "ab") as log:  # launch.record.failures.job_log looks for these lines
            log.write("".join(f"launch: Node failure on {host}\n" for host in sorted(gone)).encode())


def made(run: RunDir, plan: Plan, submission: int | None, least: int = 0) -> int:
    """Return how many attempts the job has made: Slurm counts its starts, and a job with spare nodes may make several
    in one. Other schedulers do not count, and what they were given again counts as the same job."""
    own = [event for event in run.events("started") if submission is not None and event.get("submission") == submission]
    if plan.backend in _OTHERS:
        return len(own)
    return max(of(plan).restarts() + least, len(own) if plan.spare_nodes else 0)


def again(run: RunDir, plan: Plan, submission: int | None, reason: str | None) -> str:
    """Have a run started again whose attempt has ended for this reason; return what was done."""
    own = of(plan)
    return own.requeue(run, submission, reason) if plan.backend in _OTHERS else own.requeue()
