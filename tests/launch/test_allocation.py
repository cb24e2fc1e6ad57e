"""The job in which a launcher runs, as Slurm describes it, and what its steps can have; see tests/slurm/test_steps.py
for the steps themselves."""

import dataclasses
import datetime
import os
import time
from pathlib import Path
from typing import Any

import pytest
from plans import CLUSTER, EIGHT_CORES, NOON, SCRIPT, plan

from launch.errors import Refusal
from launch.plan import site
from launch.plan.request import Request
from launch.plan.sweep import from_words
from launch.plan.within import allocation
from launch.plan.within import slurm as slurm_job
from launch.plan.within.allocation import Allocation
from launch.submit import order
from launch.submit.order import Order

HAVE = Allocation(id="12", nodes=("n1", "n2"), cpus=8, gpus=4, end=time.time() + 3600, in_step=False)
SAID = (
    "JobId=12 JobName=interactive UserId={user} GroupId=u(1) JobState={state} Reason=None RunTime=00:00:01 EndTime={end} "
    "ReqNodeList=(null) NodeList=n[1-3] BatchHost=n1 NumNodes=3 NumCPUs=20 JOB_GRES=gpu:a100:9 "
    "  Nodes=n[1-2] CPU_IDs=0-3,8-11 Mem=400 GRES=gpu:a100:4(IDX:0-3)   Nodes=n3 CPU_IDs=0-3 Mem=400 GRES=gpu:a100:1(IDX:0),nvme:1 "
    "MinCPUsNode=4 Features=(null)"
)


def slurm(folder: Path, said: str, status: int = 0) -> dict[str, str]:
    """An environment with a scontrol that says this."""
    (folder / "scontrol").write_text(f"#!/bin/sh\ncat <<'END' {'>&2' if status else ''}\n{said}\nEND\nexit {status}\n")
    (folder / "scontrol").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "12"}


def found(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> allocation.Found:
    monkeypatch.setenv("PATH", environ["PATH"])
    return slurm_job.here(environ)


def test_what_the_job_has_is_what_the_least_of_its_nodes_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = SAID.format(user=f"u({os.getuid()})", state="RUNNING", end="2026-11-27T12:00:00")
    here = found(monkeypatch, slurm(tmp_path, said) | {"SLURM_STEP_ID": "0"}).allocation
    end = datetime.datetime(2026, 11, 27, 12).timestamp()
    assert here == Allocation("12", ("n1", "n2", "n3"), cpus=4, gpus=1, end=end, in_step=True)
    assert found(monkeypatch, slurm(tmp_path, said.replace("2026-11-27T12:00:00", "Unknown"))).allocation.end is None
    assert slurm_job.here({"HOME": "/"}) == (None, "")


@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        (SAID.format(user=f"u({os.getuid()})", state="COMPLETED", end="Unknown"), 0, "does not run (completed)"),
        (SAID.format(user="other(4242)", state="RUNNING", end="Unknown"), 0, "is other(4242)'s"),
        ("slurm_load_jobs error: Invalid job id specified", 1, "has ended"),
    ],
)
def test_a_variable_alone_is_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, status: int, why: str):
    assert found(monkeypatch, slurm(tmp_path, said, status)) == (None, f"job 12 of SLURM_JOB_ID {why}")


def test_of_a_silent_slurm_nobody_can_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(Refusal, match="SLURM_JOB_ID says that this runs in job 12, and Slurm .*timed out.*--new-job"):
        found(monkeypatch, slurm(tmp_path, "slurm_load_jobs error: Socket timed out", 1))


def planned(here: site.Site = CLUSTER, have: Allocation = HAVE, **asked: Any) -> order.Planned:
    request = Request(**asked)
    one = Order(asked=request, target=SCRIPT, axes=from_words((), request.nodes)).within(have, asked)
    return order.plan(one, here, EIGHT_CORES, NOON)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"nodes": (3,)}, "--nodes 3 is more than job 12 has (2): ask for fewer, or give --new-job"),
        ({"nodes": (1, 4)}, "--nodes 4 is more than job 12 has (2): ask for fewer, or give --new-job"),
        ({"time": "90"}, "--time 01:30:00 is more than is left of job 12 ("),
        ({"time": "UNLIMITED"}, "--time UNLIMITED is more than is left of job 12 ("),
        ({"ranks_per_node": 9, "share_gpus": True}, "--ranks-per-node 9 is more than a node of job 12 has cores (8)"),
        ({"cpus_per_task": 3}, "--cpus-per-task 3 takes 12 cores, more than a node of job 12 has (8)"),
        ({"gpus_per_node": 5}, "--gpus-per-node 5 is more than a node of job 12 has (4)"),
        ({"account": "m1"}, "--account is for a new job, and this runs in job 12, of which the runs become steps"),
        ({"sbatch_arg": ("--mem=0",)}, "--sbatch-arg is for a new job, and this runs in job 12,"),
        ({"inherit": ("SBATCH_X",)}, "--inherit is for a new job"),
        ({"pack": True, "throttle": 2, "nodes": (1, 2)}, "--throttle is for runs side by side, and --pack"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(asked: dict[str, Any], why: str):
    with pytest.raises(Refusal) as refused:
        planned(**asked)
    assert str(refused.value).startswith(why) and "\n" not in str(refused.value)


def test_what_only_a_new_job_could_have_stays_for_one_where_it_was_not_typed():
    here = site.from_table(
        {"name": "big", "backend": "slurm", "gpus_per_node": 8, "cpus_per_node": 64, "ranks_per_node": 16, "nodes": 1,
         "time": "10:00:00", "partition": "gpu", "qos": "fast", "directives": {"licenses": "scratch"}}, "big",
    )  # fmt: skip
    request = Request(account="m1", time="600", nodes=(2,), share_gpus=True)  # by a definition
    one = Order(asked=request, target=SCRIPT, axes=from_words((), (2,))).within(HAVE, {"nodes": (2,)})
    assert one.passed_over == ("account", "time")
    (made,) = order.plan(one, here, EIGHT_CORES, NOON).plans
    assert (made.backend, made.site, made.time_s) == ("allocation", "big", None)
    assert (made.partition, made.account) == ("gpu", "m1")  # for a new job, should it be resumed by one
    assert (made.gpus_per_node, made.ranks_per_node, made.cpus_per_task, made.directives) == (
        4,
        8,
        1,
        {"licenses": "scratch"},
    )


def test_a_run_that_was_planned_elsewhere_is_held_to_the_allocation():
    before = plan(Request(nodes=(2,), time="30"), CLUSTER)
    assert HAVE.place(before) == dataclasses.replace(before, backend="allocation")
    HAVE.refuse([HAVE.place(before)])
    with pytest.raises(Refusal, match="9 cores on each node are more than those of a node of job 12"):
        HAVE.refuse([dataclasses.replace(before, ranks_per_node=9)])


def test_runs_of_a_pack_follow_each_other():
    assert planned(nodes=(1, 2), pack=True).order.asked.throttle == 1
