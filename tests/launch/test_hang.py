"""Runs that hang, on this machine: found, told apart from those that work, and ended."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hangs import WAYS, Way, hung, words
from launched import Launched, launch
from mpi_program import MPICC

from launch.record.rundir import RunDir

QUICK = ("deadlock", "stopped", "fifo-evaluation", "bash", "c-vfork", "sleep-atexit")
OF = {way.name: way for way in WAYS}


BUSY = """
import os, sys, time
import rankloop
rank = rankloop.rank
if rank == 1: sys.exit()                       # has ended before the others
began = time.time()
while time.time() - began < 6: pass            # silent, and busy: as if it compiled
for step in rankloop.steps(range(2)):
    time.sleep(3)
with rankloop.phase("evaluation"):
    while time.time() - began < 19: pass
print("done", flush=True)
"""
IDLE = """
import os, sys, time
if os.environ["LAUNCH_RANK"] == "0": time.sleep(12)   # waits for the others, that print
else:
    for _ in range(3): print("alive", flush=True); time.sleep(4)
"""


def begun(way: Way, folder: Path, *more: str, shape: str = "--ranks-per-node=3") -> Launched:
    folder.mkdir()
    if way.of == "c" and not MPICC.exists():
        pytest.skip("there is no mpicc beside this Python")
    ranks = shape if way.of in ("program", "silent", "bash") else "--ranks-per-node=2"
    return Launched("--backend=local", ranks, "--sample-hz=0", "--runs", folder, "--name=r", *more, *words(way, folder))


def check(way: Way, folder: Path, launched: Launched) -> None:
    status, output = launched.wait(400)
    assert status == 1 and "Traceback" not in output, output
    said = hung(way, RunDir(folder / "r"))
    assert f"hung: {said}" in output.replace("\n", " ").replace("  ", " ") or said in output


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Launched]]]:
    """Runs that are waited for by the tests: each takes seconds in which nothing happens."""
    folder = tmp_path_factory.mktemp("hangs")
    launched = {name: begun(OF[name], folder / name) for name in QUICK}
    launched["again"] = begun(OF["sleep"], folder / "again", "--max-attempts=2")
    for name, text in {"busy": BUSY, "idle": IDLE}.items():
        (folder / f"{name}.py").write_text(text)
        words = ("--backend=local", "--ranks-per-node=2", "--sample-hz=0", "--hang-timeout=5s", "--runs", folder)
        launched[name] = Launched(*words, f"--name={name}", folder / f"{name}.py")
    yield folder, launched
    for each in launched.values():
        each.process.kill()


@pytest.mark.parametrize("name", QUICK)
def test_a_run_that_hangs_is_ended_and_says_who_is_behind(side_by_side: tuple[Path, dict[str, Launched]], name: str):
    """In a lock, stopped, in a pipe, a script, in the kernel and after the end."""
    folder, launched = side_by_side
    check(OF[name], folder / name, launched[name])
    told = launch("status", folder / name).stdout
    assert "failed" in told and "hung: no " in told
    assert "1 failed" in launch("list", folder / name / "r").stdout


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_every_way(tmp_path: Path, way: Way):
    check(way, tmp_path / "f", begun(way, tmp_path / "f"))


def test_an_attempt_that_hung_is_followed_by_another(side_by_side: tuple[Path, dict[str, Launched]]):
    folder, launched = side_by_side
    status, output = launched["again"].wait()
    run = RunDir(folder / "again" / "r")
    assert status == 0, output
    assert [event["outcome"] for event in run.events("ended")] == ["stopped", "done"]
    assert run.events("ended")[0]["reason"] == "hung"


@pytest.mark.slow
def test_a_workload_goes_on_from_its_checkpoint_after_it_hung(tmp_path: Path):
    status, output = begun(OF["load"], tmp_path / "f", "--max-attempts=2").wait()
    run = RunDir(tmp_path / "f" / "r")
    assert status == 1, output
    first, second = run.events("ended")
    assert [first["outcome"], second["outcome"]] == ["stopped", "failed"]
    assert 0 < first["step"] < second["step"] and second["reason"] == "hung"


@pytest.mark.parametrize("name", ["busy", "idle"])
def test_who_works_is_no_alarm(side_by_side: tuple[Path, dict[str, Launched]], name: str):
    """Compiling, making slow steps, evaluating, printing only, and ranks that have ended or wait for such."""
    folder, launched = side_by_side
    status, output = launched[name].wait()
    assert status == 0, output
    assert not (folder / name / "stacks").exists()
    said = RunDir(folder / name).node_log(0).read_text().count("give more --hang-timeout")
    assert said == 1  # what comes every 3 or 4 s is near to it


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


STEPS = """
import sys, time
import rankloop
for step in rankloop.steps(range(2)):
    pass
sys.exit(1)
"""


def test_a_timeout_that_is_no_longer_than_a_step_is_refused_once_that_is_known(tmp_path: Path):
    (tmp_path / "p.py").write_text(STEPS)
    failed = launch("--backend=local", "--sample-hz=0", "--runs", tmp_path, "--name=r", tmp_path / "p.py")
    assert failed.returncode == 1, failed.stdout
    before = (tmp_path / "r" / "events.jsonl").read_bytes()
    (tmp_path / "r" / "steps" / "node0.jsonl").write_text('{"rank":0,"attempt":1,"step":1,"start":1e9,"seconds":6.0}\n')
    refused = launch("resume", tmp_path / "r", "--hang-timeout=5s")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1, refused.stderr
    assert f"not longer than a step of {tmp_path / 'r'} (6 s): give several times as much" in refused.stderr
    assert (tmp_path / "r" / "events.jsonl").read_bytes() == before
    again = launch("resume", tmp_path / "r", "--hang-timeout=1:00")
    assert "hang timeout   60 s (was not given)" in again.stdout, again.stdout + again.stderr
    assert RunDir(tmp_path / "r").plan().hang_s == 60
