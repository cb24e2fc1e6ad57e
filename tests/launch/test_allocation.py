"""The job in which a launcher runs, as its scheduler describes it, and what its steps can have; for the steps themselves
see tests/slurm/test_steps.py and tests/schedulers/test_steps_of_a_job.py."""

import dataclasses
import datetime
import getpass
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from plans import CLUSTER, EIGHT_CORES, NOON, SCRIPT, plan

from launch.backends.allocation import step
from launch.errors import Refusal
from launch.plan import site
from launch.plan.request import Request
from launch.plan.sweep import from_words
from launch.plan.within import allocation
from launch.plan.within import flux as flux_job
from launch.plan.within import pbs as pbs_job
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


def answering(folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, said: str, status: int = 0) -> None:
    """The first command on PATH says this."""
    to = ">&2" if status else ""
    (folder / command).write_text(f"#!/bin/sh\ncat <<'END' {to}\n{said}\nEND\nexit {status}\n")
    (folder / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def qstat(**more: Any) -> str:
    """As OpenPBS prints it of two nodes, of which one has more; cut down."""
    of_job = {"job_state": "R", "Job_Owner": f"{getpass.getuser()}@head", "exec_host": "n1/0*4+n1/1*2+n2/0*2",
              "exec_vnode": "(n1:ncpus=4:ngpus=1:mem=400kb)+(n1:ncpus=2:ngpus=1)+(n2:ncpus=2:ngpus=1)",
              "stime": "Fri Nov 27 03:22:21 2026", "Resource_List": {"place": "scatter", "walltime": "00:05:00"}}  # fmt: skip
    return json.dumps({"pbs_version": "23.06.06", "Jobs": {"7.head": of_job | more}})


def path() -> dict[str, str]:
    return {"PATH": os.environ["PATH"]}


PBS = {"PBS_JOBID": "7.head"}
FLUX = {"FLUX_ENCLOSING_ID": "7", "FLUX_URI": "local:///tmp/x"}


def test_what_a_job_of_pbs_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "nodes").write_text("n1.site\nn1.site\nn2.site\n")
    environ = PBS | {"PBS_NODEFILE": str(tmp_path / "nodes")}
    end = datetime.datetime(2026, 11, 27, 3, 27, 21).timestamp()
    answering(tmp_path, monkeypatch, "qstat", qstat())
    expected = Allocation("7.head", ("n1.site", "n2.site"), cpus=2, gpus=1, end=end, scheduler="pbs")
    assert pbs_job.here(environ | path()).allocation == expected
    # A site whose PBS does not count GPUs; a job that has its nodes to itself; and one without a limit.
    assert pbs_job.here(environ | path(), "").allocation == expected._replace(gpus=None)
    answering(tmp_path, monkeypatch, "qstat", qstat(Resource_List={"place": "scatter:excl"}))
    alone = pbs_job.here(environ | path()).allocation
    assert alone == expected._replace(cpus=None, end=None)
    assert alone.site(CLUSTER).cpus_per_node == CLUSTER.cpus_per_node
    assert pbs_job.here({"HOME": "/"}) == (None, "")
    with pytest.raises(Refusal, match="runs in PBS job 7.head, and the file of PBS_NODEFILE is not here.*--new-job"):
        pbs_job.here(PBS | path())


@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        (qstat(job_state="F"), 0, "does not run (state F)"),
        (qstat(Job_Owner="other@head"), 0, "is other's"),
        ("qstat: 7.head Job has finished, use -x or -H to obtain historical job information", 35, "has ended"),
        ("qstat: Unknown Job Id 7.head", 153, "has ended"),
    ],
)
def test_a_variable_alone_is_no_job_of_pbs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, status: int, why: str
):
    answering(tmp_path, monkeypatch, "qstat", said, status)
    assert pbs_job.here(PBS | path()) == (None, f"job 7.head of PBS_JOBID {why}")


def test_what_a_job_of_flux_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    groups = [{"rank": "0-1", "children": {"core": "0-3,8", "gpu": "0-1"}}, {"rank": "2", "children": {"core": "0-5"}}]
    said: dict[str, Any] = {"R_lite": groups, "starttime": 1.0, "expiration": 601.5, "nodelist": ["n[1-2]", "m7"]}
    answering(tmp_path, monkeypatch, "flux", json.dumps({"version": 1, "execution": said}))
    expected = Allocation("7", ("n1", "n2", "m7"), cpus=5, gpus=0, end=601.5, scheduler="flux")
    assert flux_job.here(FLUX | path()).allocation == expected
    with pytest.raises(Refusal, match="runs in a step of Flux job 7, .* start it from the job's own shell"):
        flux_job.here(FLUX | path() | {"FLUX_JOB_ID": "f1"})
    answering(
        tmp_path, monkeypatch, "flux", json.dumps({"execution": said | {"expiration": 0.0, "R_lite": groups[:1]}})
    )
    assert flux_job.here(FLUX | path()).allocation == expected._replace(gpus=2, end=None)
    assert flux_job.here({"FLUX_URI": "local:///run/flux/local"}) == (None, "")  # an instance that is no job


@pytest.mark.parametrize(
    ("module", "environ", "command", "said"),
    [
        (pbs_job, PBS, "qstat", "Connection refused\nqstat: cannot connect to server head (errno=15010)"),
        (flux_job, FLUX, "flux", "flux-job: ERROR: Unable to connect to Flux: Connection refused"),
    ],
)
def test_of_a_silent_scheduler_nobody_can_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, environ: dict[str, str], command: str, said: str
):
    answering(tmp_path, monkeypatch, command, said, 1)
    with pytest.raises(
        Refusal, match=r"says that this runs in job 7.*, and (PBS|Flux) does not answer.*--new-job"
    ) as why:
        module.here(environ | path())
    assert "\n" not in str(why.value)


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


@pytest.mark.parametrize(
    ("scheduler", "launcher", "starts"),
    [("slurm", None, None), ("pbs", None, "pbs_tmrsh"), ("pbs", "pals", "pals"), ("flux", "hydra", "flux")],
)
def test_what_starts_the_steps(scheduler: str, launcher: str | None, starts: str | None):
    here = dataclasses.replace(CLUSTER, backend=scheduler, launcher=launcher, gpus_per_node=4)
    (made,) = planned(here, HAVE._replace(scheduler=scheduler, gpus=None), nodes=(2,)).plans
    assert (made.backend, made.launcher, made.scheduler) == ("allocation", starts, scheduler)
    assert made.gpus_per_node == 4  # which the scheduler does not count
    assert HAVE._replace(scheduler=scheduler).place(dataclasses.replace(made, backend=scheduler)) == made


@pytest.mark.parametrize(
    ("launcher", "words"),
    [
        ("pals", "mpiexec -n 8 --ppn 4 --depth 2 --cpu-bind depth --hosts n2,n3"),
        ("openmpi", "mpiexec -n 8 --map-by ppr:4:node:PE=2 --host n2:4,n3:4"),
        ("hydra", "mpiexec -n 8 -ppn 4 -hosts n2,n3"),
        ("pbs_tmrsh", "pbs_tmrsh"),
        ("pbsdsh", "pbsdsh"),
        ("flux", "flux run -N 2 -n 8 -c 2 -g 1 -o exit-on-error --requires=host:n2,n3"),
    ],
)
def test_a_step_is_on_its_own_nodes(launcher: str, words: str):
    scheduler = "flux" if launcher == "flux" else "pbs"
    here = dataclasses.replace(CLUSTER, backend=scheduler, launcher=launcher)
    (made,) = planned(here, HAVE._replace(scheduler=scheduler), nodes=(2,)).plans
    command = step.script(made, HAVE, ("n2", "n3"))
    assert f" {words} \\\n" in command and "launch.node.starter . - -" in command
    assert (" - - --on n2,n3 " in command) == (launcher in ("pbs_tmrsh", "pbsdsh"))


def test_a_run_that_was_planned_elsewhere_is_held_to_the_allocation():
    before = plan(Request(nodes=(2,), time="30"), CLUSTER)
    assert HAVE.place(before) == dataclasses.replace(before, backend="allocation")
    HAVE.refuse([HAVE.place(before)])
    with pytest.raises(Refusal, match="9 cores on each node are more than those of a node of job 12"):
        HAVE.refuse([dataclasses.replace(before, ranks_per_node=9)])


def test_runs_of_a_pack_follow_each_other():
    assert planned(nodes=(1, 2), pack=True).order.asked.throttle == 1
