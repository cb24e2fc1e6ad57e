"""Runs of a study side by side on this machine: each has GPUs and cores of its own, and none knows of the others."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from launched import ROOT, Launched, environment, launch, until
from nvml import cards
from plans import LAPTOP, plan

from launch.backends.local.room import Nodes, Place, ThisMachine
from launch.errors import Refusal
from launch.plan.request import Request
from launch.plan.shape import Machine, refuse_too_many, runs_at_once
from launch.plan.target.workload import Target
from launch.plan.within.allocation import Allocation
from launch.record.rundir import RunDir
from launch.submit.study import folders, planning

PROGRAM = """
import glob, json, os, sys, time
began, here = time.time(), os.environ["LAUNCH_RUN"] + "/../here-"
open(here + os.path.basename(os.environ["LAUNCH_RUN"]), "w").close()
while len(glob.glob(here + "*")) < int(sys.argv[1]):  # so many have begun
    time.sleep(0.02)
time.sleep(0.1)
print(json.dumps({"cores": sorted(os.sched_getaffinity(0)), "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
    "began": began, "ended": time.time()}), flush=True)
sys.exit(3 if os.environ["LAUNCH_RUN"].endswith("r2") else 0)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def runs_of(folder: Path, count: int) -> list[RunDir]:
    return [RunDir(folder / f"n1-r{repeat}") for repeat in range(1, count + 1)]


def said(run: RunDir) -> dict[str, list[int]]:
    (line,) = run.node_log(0).read_text().splitlines()
    return json.loads(line.partition(": ")[2])


def together(facts: list[dict]) -> list[tuple[dict, dict]]:
    """The pairs of runs that went on at the same time."""
    pairs = [(one, other) for i, one in enumerate(facts) for other in facts[:i]]
    return [(a, b) for a, b in pairs if max(a["began"], b["began"]) < min(a["ended"], b["ended"])]


def test_as_many_as_asked_for_and_the_bad_one_hides_none(tmp_path: Path, program: Path):
    done = launch("--sample-hz", 0, "--runs", tmp_path, "--name", "s", "--repeats", 4, "--throttle", 2, program, 2)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search("^backend +local, up to 2 runs side by side", done.stdout, re.M)
    facts = [said(run) for run in runs_of(tmp_path / "s", 4)]
    pairs = together(facts)
    assert pairs  # at no time three
    assert not [a for a, b in pairs for c, d in pairs if a is c and b is not d and (b, d) in pairs]
    if len(os.sched_getaffinity(0)) > 1:
        assert all(not set(a["cores"]) & set(b["cores"]) for a, b in pairs)
    assert "3 of 4 runs are done" in done.stdout and "n1-r2: failed" in done.stdout and "exit status 3" in done.stdout
    assert " running" in done.stderr and 'n1-r1  0: {"cores"' in done.stderr


def test_one_is_cancelled_alone_and_ctrl_c_ends_all(tmp_path: Path, program: Path):
    launched = Launched(
        "--sample-hz", 0, "--runs", tmp_path, "--name", "s", "--repeats", 3, "--throttle", 2, program, 9
    )
    runs = runs_of(tmp_path / "s", 3)

    def begun(run: RunDir) -> bool:
        return bool(run.run_json.exists() and run.events("started"))

    until(lambda: begun(runs[0]) and begun(runs[1]), 60)
    assert not begun(runs[2])
    done = launch("cancel", runs[0].path)
    assert done.returncode == 0 and "n1-r1: ended" in done.stdout
    until(lambda: begun(runs[2]), 60)
    assert not runs[1].events("ended")
    launched.process.send_signal(signal.SIGINT)
    status, output = launched.wait()
    assert status == 130, output
    states = [each["state"] for each in json.loads(launch("status", "--json", tmp_path / "s").stdout)]
    assert states == ["cancelled"] * 3
    assert [run.events("ended")[-1]["reason"] for run in runs] == ["interrupted"] * 3


def on_gpus(folder: Path, program: Path, throttle: int, gpus: int, present: int, begun: int) -> list[dict]:
    """What four runs of a study say that take so many GPUs each, on a machine with so many; of which so many wait for
    each other."""
    points = [planning.Point(1, (), repeat, f"n1-r{repeat}") for repeat in (1, 3, 4, 5)]
    target = Target("script", str(program), (str(begun),))
    plans = [
        plan(here=LAPTOP, target=target, machine=Machine(4, present), gpus_per_node=gpus, ranks_per_node=1, name=point.name,
             gpu_binding="env", sample_hz=0.0, cwd=str(program.parent))
        for point in points
    ]  # fmt: skip
    folder.mkdir()
    folders.write(folder, Request(throttle=throttle), points, plans)
    env = environment(CUDA_VISIBLE_DEVICES=",".join(map(str, range(present))))
    env |= cards(*(f"GPU-{index}a" for index in range(present)))
    words = [sys.executable, "-m", "launch", "resume", folder, "--wait"]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return [said(RunDir(folder / point.name)) for point in points]


def test_no_gpu_is_held_by_two_runs_at_a_time(tmp_path: Path, program: Path):
    facts = on_gpus(tmp_path / "one", program, throttle=3, gpus=1, present=2, begun=2)
    assert together(facts) and all(a["gpus"] != b["gpus"] for a, b in together(facts))
    assert {each["gpus"] for each in facts} == {"0", "1"}
    facts = on_gpus(tmp_path / "both", program, throttle=2, gpus=2, present=2, begun=1)
    assert not together(facts) and {each["gpus"] for each in facts} == {"0,1"}


LOCAL = plan(Request(), LAPTOP)


@pytest.mark.parametrize(
    ("each", "throttle", "gpus", "cores", "fit"),
    [
        ({}, 3, 0, 2, 3),
        ({"cpus_per_task": 2}, 3, 0, 4, 2),
        ({"cpus_per_task": 2, "nodes": 2}, 3, 0, 4, 1),
        ({"gpus_per_node": 1, "nodes": 2}, 3, 4, 4, 2),
        ({"gpus_per_node": 1, "nodes": 2, "share_gpus": True}, 3, 4, 4, 3),
        ({"gpus_per_node": 4}, 3, 4, 4, 1),
    ],
)
def test_how_many_fit(each: dict, throttle: int, gpus: int, cores: int, fit: int):
    assert runs_at_once([plan(Request(), LAPTOP, **each)], throttle, gpus, cores) == fit


def test_more_ranks_than_the_machine_bears_are_refused():
    refuse_too_many(8, "local", Machine(4, 0), at_once=2)
    with pytest.raises(
        Refusal, match=r"3 runs at a time of 8 ranks are too many .*\(4 cores\): give --throttle 2 or less"
    ):
        refuse_too_many(8, "local", Machine(4, 0), at_once=3)


def test_a_run_that_finds_nothing_of_what_it_needs_is_begun_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    lacking = [plan(Request(), LAPTOP, gpus_per_node=1)] * 2
    room = ThisMachine(lacking, 2)
    assert room.take(lacking[0]) == Place() and room.take(lacking[1]) is None
    room.give(Place())
    assert room.take(lacking[1]) == Place()


def test_nodes_are_divided_among_the_launchers_of_an_allocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    have = Allocation("7", ("a", "b", "c"), cpus=1, gpus=0, end=None, in_step=False)
    one, two = plan(Request(), nodes=1), plan(Request(), nodes=2)
    room = Nodes(have, throttle=2)
    first = room.take(one)
    assert first == Place(nodes=("a",))
    # Of another process: locks are those of a process.
    code = """import sys
from launch.backends.local.room import *
room = Nodes(Allocation("7", ("a", "b", "c"), cpus=1, gpus=0, end=None, in_step=False), 9)
class plan: nodes = 1
print(room.take(plan).nodes, flush=True); sys.stdin.read()
with room.tidied(): pass"""
    other = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdin and other.stdout
    with contextlib.closing(other.stdin):
        assert other.stdout.readline() == "('b',)\n"
        assert room.take(two) is None
    assert other.wait(20) == 0
    assert room.take(two) == Place(nodes=("b", "c")) and room.take(one) is None  # as the throttle says
    room.give(first)
    assert room.take(one) == first
    with room.tidied():
        pass
    assert not list(tmp_path.rglob("nodes-of-7"))
