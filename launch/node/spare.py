"""Spare nodes: which of its nodes a job uses in an attempt, and which it leaves out."""

from typing import Any

from launch.node.job import slurm
from launch.plan import hostlist
from launch.plan.plan import Plan
from launch.record.failures import bad_nodes, causes, hang
from launch.record.rundir import RunDir
from launch.record.writing import publish


def choose(run: RunDir, plan: Plan) -> dict[str, Any]:
    """Choose the nodes of the attempt that begins, and write them for the job script: first the nodes that have not
    ended an attempt, in the order of the allocation. The result is empty if the job has no spare nodes."""
    if not plan.spare_nodes:
        return {}
    well, ill = _nodes(run)
    chosen = ",".join([*well, *ill][: plan.nodes])
    publish(run.nodes, chosen + "\n")
    return {"nodes": chosen}


def after(run: RunDir, plan: Plan) -> str:
    """Return the nodes for the next attempt in this allocation; empty if the last attempt did not end because of a
    node, or not enough others are left."""
    if not plan.spare_nodes or not _blamed(run, last=True):
        return ""
    well, _ = _nodes(run)
    return ",".join(well[: plan.nodes]) if len(well) >= plan.nodes else ""


def _nodes(run: RunDir) -> tuple[list[str], list[str]]:
    """Return the good nodes of this job, and those that have ended an attempt; both without those that Slurm has
    lost."""
    every = hostlist.expand(slurm.nodes())
    lost = slurm.lost(every)
    blamed = _blamed(run) | {node.host for node in bad_nodes.among([run])}
    there = [host for host in every if host not in lost]
    return [host for host in there if host not in blamed], [host for host in there if host in blamed]


def _blamed(run: RunDir, last: bool = False) -> set[str]:
    """Return the nodes that have ended attempts, or the last attempt."""
    hosts = set()
    for event in run.events("ended")[-1:] if last else run.events("ended"):
        found, failure = event.get("hang"), event.get("first_failure")
        if event.get("reason") == hang.REASON and found and "host" in found:
            hosts.add(found["host"])
        if failure and causes.is_of_the_node(failure["error"]):
            hosts.add(failure["host"])
    return hosts
