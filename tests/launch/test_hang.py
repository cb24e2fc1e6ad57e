"""Runs that hang, on this machine: found, told apart from those that work, and ended."""

import json
import re
from pathlib import Path

import pytest
from hangs import WAYS, Way, words
from launched import Launched, launch
from mpi_program import MPICC

from launch.record.rundir import RunDir

QUICK = ("deadlock", "stopped", "fifo-evaluation", "bash", "c-vfork", "sleep-atexit")
OF = {way.name: way for way in WAYS}


def begun(way: Way, folder: Path, *more: str, shape: str = "--ranks-per-node=3") -> Launched:
    folder.mkdir()
    if way.of == "c" and not MPICC.exists():
        pytest.skip("there is no mpicc beside this Python")
    ranks = shape if way.of in ("program", "silent", "bash") else "--ranks-per-node=2"
    return Launched("--backend=local", ranks, "--sample-hz=0", "--runs", folder, "--name=r", *more, *words(way, folder))


def check(way: Way, folder: Path, launched: Launched) -> None:
    status, output = launched.wait()
    run = RunDir(folder / "r")
    assert status == 1 and "Traceback" not in output, output
    ended = run.events("ended")[-1]
    assert (ended["outcome"], ended.get("reason")) == ("failed", "hung"), output
    said = ended["hang"]["said"]
    assert re.search(way.says, said), said
    assert f"hung: {said}" in output.replace("\n", " ").replace("  ", " ") or said in output
    kept = "".join(path.read_text() for path in (run.stacks / "attempt1").glob("node*.txt"))
    assert re.search(way.stack, kept), kept
    print(f"{way.name}: {said}")


def test_runs_that_hang_are_ended_and_say_who_is_behind(tmp_path: Path):
    """In a lock, stopped, in a pipe, a script, in the kernel and after the end: side by side, as each takes seconds."""
    launched = {name: begun(OF[name], tmp_path / name) for name in QUICK}
    for name, each in launched.items():
        check(OF[name], tmp_path / name, each)
    told = launch("status", tmp_path / "deadlock").stdout
    assert "failed" in told and "hung: no step for 5 s; rank 1 on " in told
    assert "hung" in launch("list", tmp_path / "deadlock" / "r").stdout or "failed" in told


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_every_way(tmp_path: Path, way: Way):
    check(way, tmp_path / "f", begun(way, tmp_path / "f"))


def test_an_attempt_that_hung_is_followed_by_another(tmp_path: Path):
    """From the checkpoint on; what hangs at every attempt at the same place is given up."""
    launched = {
        "again": begun(OF["sleep"], tmp_path / "again", "--max-attempts=2"),
        "twice": begun(OF["load"], tmp_path / "twice", "--max-attempts=2"),
    }
    status, output = launched["again"].wait()
    run = RunDir(tmp_path / "again" / "r")
    assert status == 0, output
    assert [event["outcome"] for event in run.events("ended")] == ["stopped", "done"]
    assert run.events("ended")[0]["reason"] == "hung"
    status, output = launched["twice"].wait()
    run = RunDir(tmp_path / "twice" / "r")
    assert status == 1, output
    first, second = run.events("ended")
    assert [first["outcome"], second["outcome"]] == ["stopped", "failed"]
    assert 0 < first["step"] < second["step"] and second["reason"] == "hung"


BUSY = """
import os, sys, time
import rankloop
rank = rankloop.rank
if rank == 1: sys.exit()                       # has ended before the others
began = time.time()
while time.time() - began < 8: pass            # silent, and busy: as if it compiled
for step in rankloop.steps(range(4)):
    time.sleep(3)
with rankloop.phase("evaluation"):
    while time.time() - began < 28: pass
print("done", flush=True)
"""
IDLE = """
import os, sys, time
if os.environ["LAUNCH_RANK"] == "0": time.sleep(16)   # waits for the others, that print
else:
    for _ in range(4): print("alive", flush=True); time.sleep(4)
"""


def test_who_works_is_no_alarm(tmp_path: Path):
    """Compiling, making slow steps, evaluating, printing only, and ranks that have ended or wait for such."""
    runs = []
    for name, text in {"busy": BUSY, "idle": IDLE}.items():
        (tmp_path / f"{name}.py").write_text(text)
        words = ("--backend=local", "--ranks-per-node=2", "--sample-hz=0", "--hang-timeout=5s", "--runs", tmp_path)
        runs.append(Launched(*words, f"--name={name}", tmp_path / f"{name}.py"))
    for each in runs:
        status, output = each.wait()
        assert status == 0, output
    assert not (tmp_path / "busy" / "stacks").exists()
    warned = RunDir(tmp_path / "busy").node_log(0).read_text()
    assert warned.count("launch: rank 0 was without a sign of life for 3") <= 1 and "give more --hang-timeout" in warned


@pytest.mark.parametrize(
    ("given", "says"),
    [("2s", "shorter than 5 s"), ("soon", "is not a time"), ("0", "is not a time"), ("UNLIMITED", "is not a time")],
)
def test_a_timeout_that_cannot_be(tmp_path: Path, given: str, says: str):
    (tmp_path / "p.py").write_text("")
    refused = launch("--backend=local", "--runs", tmp_path / "runs", f"--hang-timeout={given}", tmp_path / "p.py")
    assert refused.returncode == 2 and says in refused.stderr and refused.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_the_plan_says_it(tmp_path: Path):
    (tmp_path / "p.py").write_text("")
    words = ("--backend=local", "--runs", tmp_path, "--dry-run", "--hang-timeout=30m", tmp_path / "p.py")
    assert "hang timeout   00:30:00 without a step" in launch(*words).stdout
    told = json.loads(launch("--json", *words).stdout)
    assert told["runs"][0]["plan"]["hang_s"] == 1800
