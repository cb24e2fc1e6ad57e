"""status, logs and cancel on a real Slurm."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launched import ROOT, environment, launch, until
from slurm.fixtures import Cluster, queue

from launch.backends.slurm.queue import FRESH_S, TIMEOUT_S
from launch.record.files import read_json, read_lines
from launch.record.rundir import RunDir
from launch.record.writing import publish_json
from launch.submit import states
from workloads.training import checkpoints

WAIT = "import time; print('here', flush=True); time.sleep(300)\n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def submit(tmp_path: Path, name: str, nodes: int, text: str, *words: object) -> RunDir:
    program = tmp_path / f"{name}.py"
    program.write_text(text)
    done = launch("-N", nodes, "--runs", tmp_path / "runs", "--name", name, "--detach", *words, program)
    assert done.returncode == 0, done.stderr
    return RunDir(tmp_path / "runs" / name)


def table(folder: Path) -> dict[str, dict]:
    done = launch("status", "--json", folder)
    assert (done.returncode, done.stderr) == (0, "")
    return {Path(one["path"]).name: one for one in json.loads(done.stdout)}


def test_from_the_queue_to_the_end(clean_slurm: Cluster, tmp_path: Path):
    folder = tmp_path / "runs"
    running = submit(tmp_path, "running", 12, WAIT, "--sbatch-arg=--exclusive")
    until(lambda: sum("here" in log.read_text() for log in running.logs.glob("node*.log")) == 12)
    waiting = submit(tmp_path, "waiting", 10, WAIT, "--sbatch-arg=--exclusive")
    submit(tmp_path, "done", 1, "print('hello')")
    submit(tmp_path, "failed", 2, "import os\nif os.environ['RANK'] == '1': raise ValueError('bad mesh')\n")
    until(lambda: {"done", "failed"} <= {one["state"] for one in table(folder).values()}, every=1)
    until(lambda: table(folder)["waiting"]["source"] == "scheduler" and table(folder)["waiting"]["reason"], every=1)
    found = table(folder)
    assert {name: one["state"] for name, one in found.items()} == {
        "running": "running", "waiting": "queued", "done": "done", "failed": "failed"
    }  # fmt: skip
    assert found["waiting"]["reason"] in ("Resources", "Priority")
    assert found["running"]["hosts"] == "node[1-12]"
    assert found["failed"]["reason"].endswith(": ValueError: bad mesh")

    followed = subprocess.Popen(
        [sys.executable, "-m", "launch", "logs", str(running.path), "-f", "--rank", "3"],
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    cancelled = launch("cancel", running.path, waiting.path, folder / "done")
    assert cancelled.returncode == 0, cancelled.stderr
    assert cancelled.stdout.splitlines() == [
        f"{running.path}: ended, nothing saved; start it again: python -m launch resume {running.path}",
        f"{waiting.path}: taken out of the queue; start it again: python -m launch resume {waiting.path}",
        f"{folder / 'done'}: is not running (done)",
    ]
    assert not {run.events("submitted")[0]["job"] for run in (running, waiting)} & {*queue()}
    words, _ = followed.communicate(timeout=120)
    assert followed.returncode == 0 and words.startswith("here\n")
    assert {name: one["state"] for name, one in table(folder).items()} == {
        "running": "cancelled", "waiting": "cancelled", "done": "done", "failed": "failed"
    }  # fmt: skip


@pytest.mark.slow
def test_a_workload_saves_before_it_is_cancelled(clean_slurm: Cluster, tmp_path: Path):
    run = RunDir(tmp_path / "a")
    words = ("tiny", "--epochs=50", "--batch=16", "--threads=1", "--pause=0.02")
    assert launch("--runs", tmp_path, "--name", "a", "--detach", *words).returncode == 0
    until(lambda: len(list(read_lines(run.steps / "node0.jsonl"))) > 3, 120)
    (known,), _ = states.look([run.path])
    assert known.state == "running" and known.step > 3 and known.left_s > 0 and known.throughput > 0
    cancelled = launch("cancel", run.path)
    assert cancelled.returncode == 0, cancelled.stderr
    saved = checkpoints.latest(run.checkpoints).step
    assert f"ended, saved at step {saved}; start it again" in cancelled.stdout
    assert not queue()
    assert states.look([run.path])[0][0].state == "cancelled"


@pytest.mark.slow
def test_a_silent_controller(clean_slurm: Cluster, tmp_path: Path):
    run = submit(tmp_path, "a", 2, WAIT)
    until(lambda: run.node_log(1).exists())
    os.kill(clean_slurm.controller, signal.SIGSTOP)
    try:
        began = time.monotonic()
        done = launch("status", run.path)
        assert time.monotonic() - began < TIMEOUT_S + 60
        assert done.returncode == 0 and done.stdout.splitlines()[1].split()[1] == "running"
        assert done.stderr.startswith("launch: the scheduler does not answer (") and done.stderr.count("\n") == 1
        refused = launch("cancel", run.path)
        assert refused.returncode == 2 and "nothing was cancelled: try again later" in refused.stderr
    finally:
        os.kill(clean_slurm.controller, signal.SIGCONT)
    until(lambda: states.look([run.path])[0][0].source == "scheduler", every=1)


def test_what_becomes_of_a_run_that_could_note_nothing(clean_slurm: Cluster, tmp_path: Path):
    run = submit(tmp_path, "a", 2, WAIT, "--sbatch-arg=--no-requeue")
    until(lambda: run.node_log(1).exists())
    forgotten = RunDir(tmp_path / "runs" / "b")
    forgotten.create()
    publish_json(forgotten.run_json, read_json(run.run_json))
    job = read_json(run.path / "jobs" / "1" / "job.json") | {"id": "999999", "made_for": str(forgotten.path)}
    (forgotten.path / "jobs" / "1").mkdir(parents=True)
    publish_json(forgotten.path / "jobs" / "1" / "job.json", job)
    subprocess.run(["scontrol", "update", "nodename=node1", "state=down", "reason=test"], check=True)
    (known, lost), _ = until(
        lambda: (found := states.look([run.path, forgotten.path]))[0][0].state != "running" and found, 60, every=1
    )
    assert (known.state, lost.state) == ("failed", "lost"), known
    assert "NODE_FAIL" in known.reason or "rank" in known.reason
    assert lost.reason == "job 999999 is gone and has noted no end: resume goes on"


def test_many_who_look_ask_slurm_once(clean_slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = submit(tmp_path, "a", 1, WAIT)
    until(run.node_log(0).exists)
    real, counting = shutil.which("squeue"), tmp_path / "bin" / "squeue"
    counting.parent.mkdir()
    counting.write_text(f"#!/bin/sh\necho asked >> '{tmp_path}/asked'\nexec {real} \"$@\"\n")
    counting.chmod(0o755)
    monkeypatch.setenv("PATH", f"{counting.parent}:{os.environ['PATH']}")
    command = [sys.executable, "-m", "launch", "status", "--json", str(run.path)]
    began = time.monotonic()
    many = [subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE) for _ in range(8)]
    answers = [json.loads(one.communicate(timeout=60)[0])[0] for one in many]
    assert {(answer["state"], answer["source"]) for answer in answers} == {("running", "scheduler")}
    # A machine so slow that they take longer than an answer is good for asks once more.
    assert len((tmp_path / "asked").read_text().splitlines()) <= 1 + (time.monotonic() - began) / FRESH_S
    shared = next((tmp_path / "cache" / "rankloop").glob("*.json"))
    shared.write_text('{"time": ')  # damaged: asked anew
    assert table(run.path)["a"]["source"] == "scheduler"
    assert read_json(shared)["statuses"][run.events("submitted")[0]["job"]][1] == "RUNNING"
