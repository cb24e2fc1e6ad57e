"""Plans: what is filled in, what is refused, and run.json read back."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from plans import CLUSTER, LAPTOP, NOON, SCRIPT, plan

from launch import HOME
from launch.errors import Refusal
from launch.plan import site
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.resolve import resolve
from launch.plan.shape import Machine, this_machine
from launch.plan.target.workload import Target, find
from launch.submit import describe_parts

GPUS = site.from_table(
    {
        "name": "gpus", "nodes": 64, "cpus_per_node": 56, "gpus_per_node": 4, "partition": "batch", "time": "30",
        "partitions": {"batch": {"max_nodes": 32, "max_time": "2:00:00"}, "long": {"max_time": "1-00"}, "wide": {"min_nodes": 9}},
    },
    "gpus",
)  # fmt: skip


def test_the_site_fills_in_what_was_not_asked():
    made = plan(Request(nodes=2), GPUS)
    assert (made.nodes, made.ranks_per_node, made.size, made.gpus_per_node) == (2, 4, 8, 4)
    assert (made.cpus_per_task, made.partition, made.time_s) == (14, "batch", 1800)
    assert (made.name, made.job_name) == ("simulate-n2-20260301-120000", "simulate-n2-20260301-120000")
    assert (made.cwd, made.python) == (os.getcwd(), sys.executable)
    assert made.entry == ("/home/u/simulate.py", "--cells", "64")


def test_the_request_comes_before_the_site():
    asked = Request(
        nodes=2,
        ranks_per_node=2,
        gpus_per_node=2,
        cpus_per_task=3,
        partition="long",
        time="1-00",
        name="a",
        job_name="b",
    )
    made = plan(asked, GPUS)
    assert (made.ranks_per_node, made.gpus_per_node, made.cpus_per_task) == (2, 2, 3)
    assert (made.partition, made.time_s, made.name, made.job_name) == ("long", 86400, "a", "b")


def test_the_entry_of_each_kind():
    assert plan(target=Target("module", "json.tool", ("-h",))).entry == ("-m", "json.tool", "-h")
    made = plan(target=find("workloads.cfd_resnet", ["--epochs", "2"]))
    assert made.entry == ("-m", "workloads.training.train", "workloads.cfd_resnet", "--epochs=2.0")
    assert made.describe  # its Config says what follows from the number of ranks


def test_on_this_machine_nodes_divide_the_gpus():
    machine = Machine(cores=8, gpus=4)
    assert plan(Request(nodes=2), LAPTOP, machine=machine).gpus_per_node == 2
    assert plan(Request(nodes=2), LAPTOP, machine=machine).size == 4
    assert plan(Request(nodes=8), LAPTOP, machine=machine).gpus_per_node == 0
    assert plan(Request(nodes=8, share_gpus=True), LAPTOP, machine=machine).gpus_per_node == 4


@pytest.mark.parametrize(
    ("asked", "here", "gpus", "binding"),
    [
        ({}, CLUSTER, 0, "auto"),  # the job may have some by an option of sbatch
        ({"gpus_per_node": "0"}, CLUSTER, 0, "none"),
        ({"gpu_binding": "env"}, CLUSTER, 0, "env"),
        ({"gpu_binding": "env", "gpus_per_node": 0}, CLUSTER, 0, "none"),
        ({}, LAPTOP, 0, "auto"),
        ({"nodes": 8}, LAPTOP, 4, "none"),  # too few for all nodes
        ({}, LAPTOP, 4, "auto"),
        ({}, site.from_table({"name": "x", "gpu_binding": "slurm"}, "x"), 0, "slurm"),
        ({"gpu_binding": "framework"}, site.from_table({"name": "x", "gpu_binding": "slurm"}, "x"), 0, "framework"),
    ],
)
def test_which_gpus_are_hidden(asked: dict[str, Any], here: site.Site, gpus: int, binding: str):
    assert plan(Request(**asked), here, machine=Machine(8, gpus)).gpu_binding == binding


@pytest.mark.parametrize(
    ("option", "asks"),
    [
        ("--mem=1G", False), ("--gres=nvme:1", False), ("--gpu-freq=high", False), ("--exclusive", False),
        ("--gres=gpu:2", True), ("--gres=nvme:1,gpu:a100:2", True), ("--gpus=4", True), ("--gpus-per-task=1", True),
        ("-G4", True),
    ],
)  # fmt: skip
def test_options_for_sbatch_are_said_to_ask_for_gpus_only_where_they_do(option: str, asks: bool):
    made = plan(Request(sbatch_arg=(option,)))
    assert describe_parts.gpus(made) == ("GPUs by the options for sbatch" if asks else "no GPUs")


def test_a_type_of_gpus_by_option_and_in_a_site_file():
    typed = site.from_table({"name": "x", "gpus_per_node": "h100:8"}, "x")
    assert (typed.gpus_per_node, typed.gpu_type) == (8, "h100")
    made = plan(Request(gpus_per_node="a100_3g.20gb:4", ranks_per_node=2), typed)
    assert (made.gpu_type, made.gpus_per_node, made.gpus_per_rank) == ("a100_3g.20gb", 4, 2)


@pytest.mark.parametrize(
    ("asked", "here", "machine", "says"),
    [
        ({"gpus_per_node": -1}, CLUSTER, None, "--gpus-per-node -1: give 0 or more"),
        ({"gpus_per_node": "a100"}, CLUSTER, None, "--gpus-per-node a100: give 0 or more"),
        ({"gpus_per_node": "a100:1"}, LAPTOP, Machine(8, 1), "cannot be asked for by type: give 1"),
        ({"gpu_binding": "slurm"}, LAPTOP, Machine(8, 1), "--gpu-binding slurm is for Slurm"),
        ({"nodes": 65}, GPUS, None, "--nodes 65 is more than gpus has (64)"),
        ({"nodes": 33}, GPUS, None, "--nodes 33 is more than partition batch of gpus allows (32)"),
        ({"nodes": 33}, GPUS, None, "(32): ask for fewer, or for another partition with -p: long, wide"),
        (
            {"nodes": 8, "partition": "wide"},
            GPUS,
            None,
            "--nodes 8 is fewer than partition wide of gpus takes (9): ask for more, or for another partition with -p: batch, long",
        ),
        (
            {"nodes": 2, "time": "1:00"},
            site.load("polaris"),
            None,
            "than partition prod of polaris takes (10): ask for more, or for another partition with -p: debug, debug-scaling, preemptable, capacity",
        ),
        (
            {"nodes": 1, "time": "1:00:00"},
            site.load("aurora"),
            None,
            "takes (256): ask for more, or for another partition with -p: debug, capacity",
        ),
        ({"time": "3:00:00"}, GPUS, None, "--time 03:00:00 is more than partition batch of gpus allows (02:00:00)"),
        ({"time": "2-00", "partition": "long"}, GPUS, None, "more than partition long of gpus allows (1-00:00:00)"),
        ({"time": "soon"}, GPUS, None, "--time 'soon' is not a walltime"),
        ({"time": ""}, GPUS, None, "--time '' is not a walltime"),
        ({"gpus_per_node": 5}, GPUS, None, "--gpus-per-node 5 is more than a node of gpus has (4)"),
        ({"ranks_per_node": 5}, GPUS, None, "--ranks-per-node 5 is more than the 4 GPUs of a node: ask for 4 or fewer"),
        ({"ranks_per_node": 60, "share_gpus": True}, GPUS, None, "more than a node of gpus has cores (56)"),
        ({"cpus_per_task": 15}, GPUS, None, "--cpus-per-task 15 takes 60 cores, more than a node of gpus has (56)"),
        ({"partition": "a\nrm -rf ~"}, CLUSTER, None, "give it without line breaks"),
        ({"account": "a\n"}, CLUSTER, None, "--account 'a\\n': give it without line breaks"),
        ({"nodes": 2, "gpus_per_node": 1}, LAPTOP, Machine(8, 1), "2 GPUs are more than the 1 of this machine"),
        ({"gpus_per_node": 1}, LAPTOP, Machine(8, 0), "1 GPUs are more than the 0 of this machine"),
        ({"ranks_per_node": 3}, LAPTOP, Machine(8, 2), "--ranks-per-node 3 is more than the 2 GPUs of a node"),
        ({"cpus_per_task": 2, "nodes": 5}, LAPTOP, None, "takes 10 cores, more than this machine has (8)"),
        ({"nodes": 33}, LAPTOP, None, "33 ranks are too many for this machine (8 cores): ask for 32 or fewer"),
        ({"partition": "gpu"}, LAPTOP, None, "-p is for Slurm, and the backend is local"),
        ({"sbatch_arg": ("--exclusive",)}, LAPTOP, None, "--sbatch-arg is for Slurm"),
        ({"wait": True, "detach": True}, CLUSTER, None, "--wait and --detach contradict each other"),
        ({"name": "../up"}, CLUSTER, None, "--name '../up': a run's name has letters"),
        ({"name": "-rf"}, CLUSTER, None, "begins with one of the first two"),
        ({"name": ""}, CLUSTER, None, "--name ''"),
        ({"name": "a\n"}, CLUSTER, None, "a run's name has letters"),
    ],
)
def test_refusals(asked: dict[str, Any], here: site.Site, machine: Machine | None, says: str):
    with pytest.raises(Refusal) as refusal:
        plan(Request(**asked), here, machine=machine or Machine(cores=8, gpus=0))
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


requests = st.builds(
    Request,
    nodes=st.integers(1, 40),
    ranks_per_node=st.none() | st.integers(1, 12),
    gpus_per_node=st.none() | st.integers(-1, 9),
    cpus_per_task=st.none() | st.integers(1, 60),
    time=st.none() | st.sampled_from(["5", "1:00:00", "1-00", "0", "x"]),
    partition=st.none() | st.sampled_from(["batch", "long", "other"]),
    share_gpus=st.booleans(),
    rendezvous=st.none() | st.sampled_from(["gloo", "mpi"]),
)
machines = st.builds(Machine, cores=st.integers(1, 64), gpus=st.integers(0, 8))


@settings(deadline=None)
@given(requests, st.sampled_from([GPUS, CLUSTER, LAPTOP]), machines)
def test_a_plan_that_is_made_can_be_kept(request: Request, here: site.Site, machine: Machine):
    try:
        made = resolve(request, request.nodes, here, SCRIPT, machine, NOON)
    except Refusal as refusal:
        assert "\n" not in str(refusal)
        return
    assert made.size == made.nodes * made.ranks_per_node >= 1
    assert made.nodes == request.nodes
    if made.gpus_per_node and not made.share_gpus:
        assert made.ranks_per_node <= made.gpus_per_node
    if made.backend == "local" and not made.share_gpus:
        assert made.nodes * made.gpus_per_node <= machine.gpus
    if here.cpus_per_node and made.cpus_per_task:
        assert made.ranks_per_node * made.cpus_per_task <= here.cpus_per_node
    assert made.time_s is None or made.time_s >= 0
    assert Plan.from_json(json.loads(json.dumps(made.to_json()))) == made


@settings(deadline=None)
@given(requests, st.sampled_from([GPUS, CLUSTER, LAPTOP]), machines)
def test_the_same_request_is_the_same_plan(request: Request, here: site.Site, machine: Machine):
    try:
        first = resolve(request, request.nodes, here, SCRIPT, machine, NOON)
    except Refusal:
        assume(False)
    assert resolve(request, request.nodes, here, SCRIPT, machine, NOON) == first


def test_run_json_of_another_version():
    table = plan(Request(gpus_per_node=2)).to_json()
    older = {
        name: value for name, value in table.items() if name not in ("stop_below", "pack", "inherited", "max_jobs")
    }
    assert Plan.from_json(older | {"commit": "4f8d049"}) == plan(Request(gpus_per_node=2))
    del older["nodes"], older["entry"]
    with pytest.raises(Refusal, match="run.json lacks entry, nodes;"):
        Plan.from_json(older)
    with pytest.raises(Refusal, match="unknown key 'later'"):
        Plan.from_json(table | {"later": 1})


def test_what_ranks_import_is_found_from_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"lib{os.pathsep}{os.pathsep}/opt/lib")
    made = plan()
    assert made.pythonpath == (str(tmp_path / "lib"), str(tmp_path), "/opt/lib")  # as Python takes an empty word
    monkeypatch.setenv("PYTHONPATH", f"{HOME}{os.pathsep}lib")
    assert plan().pythonpath == (str(tmp_path / "lib"), str(HOME))  # the user's before the toolkit's


def test_hidden_gpus_do_not_count(monkeypatch: pytest.MonkeyPatch):
    real = os.listdir
    monkeypatch.setattr(
        os,
        "listdir",
        lambda folder: ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"] if folder == "/dev" else real(folder),
    )
    counts = {}
    for value in (None, "0,1", "1", "", "-1", "NoDevFiles", "GPU-1a,MIG-2b", "0,1,2"):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if value is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        counts[value] = this_machine().gpus
    assert counts == {None: 2, "0,1": 2, "1": 1, "": 0, "-1": 0, "NoDevFiles": 0, "GPU-1a,MIG-2b": 2, "0,1,2": 2}
    assert this_machine().cores == len(os.sched_getaffinity(0))


def test_every_field_of_a_plan_is_json():
    for field in dataclasses.fields(Plan):
        value = getattr(plan(), field.name)
        assert value is None or isinstance(value, (str, int, float, bool, tuple, dict)), field.name
