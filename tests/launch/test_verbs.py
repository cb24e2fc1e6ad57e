"""status, logs and cancel: on recorded runs, and on plain programs that run on this machine."""

import contextlib
import importlib
import io
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from launched import ROOT, environment, launch, until
from plans import EIGHT_CORES, LAPTOP, plan, run_of

from launch.__main__ import VERBS
from launch.backends.scheduler import ENDED, QUEUED, RUNNING, Status
from launch.cli import logs, status
from launch.errors import Refusal
from launch.plan.request import Request
from launch.record.job import Job
from launch.record.rundir import RunDir
from launch.record.writing import append_line, publish_json
from launch.submit import judging, places, states

STATES = {
    "planned", "queued", "running", "done", "stopped", "failed", "timeout", "cancelled", "lost", "unknown", "damaged", "unreadable",
}  # fmt: skip
TRAINING = {"parameters": 56_454_720, "steps": 40, "steps_per_epoch": 20, "epochs": 2.0, "global_batch": 64}
WAIT = "import os, time\nprint('here', os.environ['RANK'], flush=True)\ntime.sleep(120)\n"
SAVES = """
import sys, time, rankloop
asked = rankloop.stop_requested()
print("here", rankloop.rank, flush=True)
while not rankloop.stop_requested():
    time.sleep(0.05)
sys.exit(rankloop.STOPPED)
"""
BEGUN = 1_700_000_000.0


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def record(path: Path, events: list[dict], backend: str = "local", steps: int = 0, nodes: int = 2) -> RunDir:
    """The directory of a run, as one of two ranks a node leaves it; a step takes 0.1 s and the first, compiled, 9 s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    request = Request(nodes=nodes, ranks_per_node=2, name=path.name.lstrip("."))
    run = run_of(plan(request, here=LAPTOP, machine=EIGHT_CORES, backend=backend), path)
    for event in events:
        append_line(run.events_jsonl, {"time": BEGUN, **event})
    if steps:
        publish_json(run.training_json, TRAINING)
    lines = [
        {"rank": rank, "attempt": 1, "epoch": 0, "step": step, "start": BEGUN + 0.1 * step, "seconds": 9.0 if step == 1 else 0.1,
         "input_seconds": 0.0, "examples": 16, "loss": 1 / step, "learning_rate": 0.1, "traced": False, "compiled": step == 1}
        for step in range(1, steps + 1)
        for rank in (0, 1)
    ]  # fmt: skip
    (run.steps / "node0.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def submitted(run: RunDir, id: str = "7") -> None:
    """The record of the job that its events are about."""
    fields = {
        "backend": "slurm",
        "shape": "run",
        "runs": ["."],
        "saves": False,
        "name": "r",
        "id": id,
        "state": "submitted",
    }
    (run.path / "jobs" / "1").mkdir(parents=True)
    publish_json(run.path / "jobs" / "1" / "job.json", fields)


SUBMITTED = {"event": "submitted", "backend": "slurm", "job": "7", "submission": 1}
STARTED = {
    "event": "started",
    "attempt": 1,
    "host": "node1",
    "pid": 1,
    "job": "7",
    "submission": 1,
    "nodes": "node[1-2]",
}
FAILURE = {"rank": 3, "node": 1, "host": "node2", "error": "ValueError: bad\nmesh", "traceback": "", "time": BEGUN}
FAILED = {"event": "ended", "submission": 1, "attempt": 1, "outcome": "failed", "status": 1, "first_failure": FAILURE}
DONE = {"event": "ended", "attempt": 1, "outcome": "done", "status": 0}
STOPPED = {"event": "ended", "submission": 1, "attempt": 1, "outcome": "stopped", "status": 75}


@pytest.mark.parametrize(
    ("events", "done", "state", "reason"),
    [
        ([], False, "planned", ""),
        ([SUBMITTED], False, "queued", ""),
        ([SUBMITTED, STARTED], False, "running", ""),
        ([SUBMITTED, STARTED, FAILED], False, "failed", "rank 3 on node2: ValueError: bad\nmesh"),
        ([SUBMITTED, STARTED, FAILED | {"first_failure": None}], False, "failed", "exit status 1"),
        ([SUBMITTED, STARTED, STOPPED], False, "stopped", ""),
        ([SUBMITTED, STARTED, STOPPED | {"reason": "time limit"}], False, "stopped", "time limit"),
        (
            [SUBMITTED, STARTED, FAILED | {"reason": "node failure"}],
            False,
            "failed",
            "rank 3 on node2: ValueError: bad\nmesh",
        ),
        ([SUBMITTED, STARTED, STOPPED, {"event": "cancelled"}], False, "cancelled", ""),
        ([SUBMITTED, STARTED, FAILED, SUBMITTED], False, "queued", ""),
        ([SUBMITTED, STARTED, STOPPED, STARTED], False, "running", ""),
        ([SUBMITTED, STARTED, FAILED, SUBMITTED, STARTED], True, "done", ""),
    ],
)
def test_what_a_run_has_noted(events: list[dict], done: bool, state: str, reason: str):
    assert judging.recorded(events, done) == (state, reason)


@pytest.mark.parametrize(
    ("noted", "status", "state", "reason"),
    [
        ("queued", Status(QUEUED, "PENDING", "Resources"), "queued", "Resources"),
        ("queued", Status(RUNNING, "RUNNING", "", "node1"), "running", ""),
        ("running", Status(RUNNING, "COMPLETING", "", "node1"), "running", "completing"),
        (
            "running",
            Status(QUEUED, "PENDING", "BeginTime"),
            "queued",
            "BeginTime",
        ),  # requeued after its node has failed
        ("running", Status(ENDED, "NODE_FAIL", "", "node1"), "failed", "job 7: NODE_FAIL on node1"),
        ("running", Status(ENDED, "TIMEOUT", "", "node1", "timeout"), "timeout", "job 7: TIMEOUT on node1"),
        ("queued", Status(ENDED, "CANCELLED", outcome="cancelled"), "cancelled", "job 7: CANCELLED"),
        ("stopped", Status(QUEUED, "PENDING", "BeginTime"), "queued", "BeginTime"),  # requeued
        ("stopped", Status(ENDED, "FAILED", "NonZeroExitCode", "node1"), "stopped", ""),
        ("stopped", Status(RUNNING, "RUNNING", "", "node1"), "running", ""),  # its script may be about to requeue it
        ("stopped", None, "stopped", ""),
        ("running", None, "lost", "job 7 is gone and has noted no end: resume goes on"),
    ],
)
def test_what_the_scheduler_says_of_it(noted: str, status: Status | None, state: str, reason: str):
    job = Job(
        folder=Path("/r/jobs/1"),
        backend="slurm",
        shape="run",
        runs=(".",),
        saves=False,
        name="r",
        id="7",
        state="submitted",
    )
    assert judging.judge(noted, job, status) == (state, reason)


def test_how_far_and_how_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = record(tmp_path / "a", [SUBMITTED, STARTED, {"event": "evaluated", "step": 20}], "slurm", steps=30)
    submitted(run)
    monkeypatch.setenv("PATH", str(tmp_path))
    (known,), silence = states.look([run.path])
    assert "no squeue here" in silence and known.source == "records"
    assert (known.state, known.step, known.steps, known.epoch, known.epochs) == ("running", 30, 40, 1.5, 2.0)
    # 64 examples in 0.1 s over all ranks, the compiled step left out; ten steps are missing.
    assert (known.throughput, known.unit) == (pytest.approx(640), "examples/s") and known.left_s == pytest.approx(1.0)
    assert (known.loss, known.nodes, known.ranks, known.hosts, known.attempts) == (1 / 30, 2, 4, "node[1-2]", 1)
    head, row = status.table(status.rows([known]), always=("run", "state"))
    assert head.split() == ["run", "state", "job", "shape", "step", "epoch", "loss", "examples/s", "left", "nodes"]
    assert row.split()[1:] == ["running", "7", "2x2", "30/40", "1.50/2", "0.03333", "640", "00:00:01", "node[1-2]"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three runs whose files are all whole."""
    folder = tmp_path_factory.mktemp("whole")
    ended = [SUBMITTED, STARTED, FAILED, SUBMITTED, STARTED, STOPPED]
    done = record(folder / "c", [{"event": "submitted"}, {"event": "started", "host": "h", "pid": 1}, DONE], steps=40)
    publish_json(done.result_json, {"status": "done", "throughput_examples_per_s": 640.0, "steps": 40, "epochs": 2.0})
    record(folder / "a", ended, "slurm", steps=12)
    failed = record(folder / "b", [SUBMITTED, FAILED])
    failed.node_log(0).write_text("0: hello\n")
    return folder


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def _hole(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(2**40)


DAMAGE = {
    "a pipe": _pipe,
    "a folder": _folder,
    "a link to itself": lambda path: _link(path, path.name),
    "a link to nothing": lambda path: _link(path, "nothing"),
    "a device": lambda path: _link(path, "/dev/zero"),
    "empty": lambda path: path.write_text(""),
    "not text": lambda path: path.write_bytes(b"\xff\xfe\x00{" + path.read_bytes()),
    "deep": lambda path: path.write_text("[" * 100_000),
    "of a terabyte": _hole,
    "of other values": lambda path: path.write_text("null\n{}\n[1]\n123\n"),
    "a list": lambda path: path.write_text("[{}]\n"),
    "null": lambda path: path.write_text("null"),
}


def _other_values(value: object, draw: Callable) -> object:
    """A value of JSON with one of those within it replaced or left out."""
    if isinstance(value, dict) and value:
        key = draw(st.sampled_from(sorted(value)))
        return {k: v for k, v in value.items() if k != key} | (
            {} if draw(st.booleans()) else {key: _other_values(value[key], draw)}
        )
    odd = [None, [], {}, "x", "1", -1, 0, 1.5, True, 10**400, math.nan, math.inf, [[]], {"a": {}}, "\ud800", 1e308]
    return draw(st.sampled_from(odd))


def _changed(path: Path, draw: Callable) -> None:
    lines = [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines()
    number = draw(st.integers(0, len(lines) - 1))
    lines[number] = json.dumps(_other_values(json.loads(lines[number]), draw))
    path.write_text("\n".join(lines) + "\n")


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_damaged_file_keeps_the_others_from_being_seen(whole: Path, data: st.DataObject):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", folder)  # no squeue: the records have to do
        patch.setenv("XDG_CACHE_HOME", folder)
        copied = Path(shutil.copytree(whole, Path(folder) / "runs"))
        files = sorted(path for path in copied.rglob("*") if path.is_file() and path.stat().st_size)
        path = data.draw(st.sampled_from(files))
        kind = data.draw(st.sampled_from(["truncated", "changed", *DAMAGE]))
        if kind == "truncated":
            os.truncate(path, data.draw(st.integers(0, path.stat().st_size - 1)))
        elif kind == "changed" and path.parent.name != "logs":
            _changed(path, data.draw)
        else:
            DAMAGE.get(kind, _pipe)(path)
        known, _ = states.look(places.find([copied]))
        assert [one.path.name for one in known] == ["a", "b", "c"]
        assert {one.state for one in known} <= STATES
        others = {one.path.name: one.state for one in known if one.path not in path.parents}
        assert others.items() <= {"a": "stopped", "b": "failed", "c": "done"}.items()
        for verb, *words in (
            ("status", copied), ("status", copied, "--json"), ("list", copied), ("cancel", copied), ("logs", copied / "a"),
            ("logs", copied / "c", "-n", 1), ("diff", copied / "a", copied / "c"),
        ):  # fmt: skip
            printed = io.TextIOWrapper(io.BytesIO(), errors="backslashreplace", write_through=True)
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
                try:
                    importlib.import_module(VERBS[verb][0]).main(list(map(str, words)))
                except Refusal as refusal:
                    assert "\n" not in str(refusal) and verb not in ("status", "list") and str(copied) in str(refusal)
            if copied in words:
                assert all(str(copied / name) in printed.buffer.getvalue().decode() for name in others)


def test_a_run_of_another_user_is_named_and_hides_no_other(tmp_path: Path):
    record(tmp_path / "mine", [SUBMITTED, FAILED])
    theirs = record(tmp_path / "theirs", [SUBMITTED, FAILED]).path
    theirs.chmod(0)
    # For root, which may read everything, without that right.
    other = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    try:
        for words in (["status", tmp_path], ["list", tmp_path], ["cancel", tmp_path], ["logs", theirs], ["resume", theirs],
                      ["diff", tmp_path / "mine", theirs]):  # fmt: skip
            command = [*(other if os.geteuid() == 0 else []), sys.executable, "-m", "launch", *map(str, words)]
            done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
            said = done.stdout + done.stderr
            assert "Traceback" not in said and f"{theirs}" in said, said
            assert done.returncode == (0 if words[0] in ("status", "list") else 2), said
            assert tmp_path not in words or f"{tmp_path / 'mine'}" in said, said
    finally:
        theirs.chmod(0o700)


def test_runs_of_a_folder_in_natural_order(tmp_path: Path):
    for name in ("runs/n10", "runs/n2", "runs/study/p1", "runs/.hidden"):
        record(tmp_path / name, [])
    (tmp_path / "runs" / "n2" / "logs" / "run.json").write_text("")  # within a run none is looked for
    found = places.find([tmp_path / "runs", tmp_path / "runs" / "n2"])
    assert [str(path.relative_to(tmp_path / "runs")) for path in found] == ["n2", "n10", "study/p1"]


def test_a_hundred_finished_runs_ask_nobody_and_read_only_tails(tmp_path: Path):
    first = record(tmp_path / "runs" / "r0", [SUBMITTED, STARTED], "slurm", steps=40)
    publish_json(first.result_json, {"status": "done", "throughput_examples_per_s": 640.0})
    for i in range(1, 100):
        run = RunDir(tmp_path / "runs" / f"r{i}")
        run.create()
        for name in ("run.json", "events.jsonl", "training.json", "result.json"):
            (run.path / name).write_bytes((first.path / name).read_bytes())
        with open(run.steps / "node0.jsonl", "wb") as file:
            file.truncate(2**32)  # holes: to read 4 GB of them a hundred times would take minutes
            file.seek(0, os.SEEK_END)
            file.write(b"\n" + (first.steps / "node0.jsonl").read_bytes())
    # Without squeue on the path, a question to Slurm would be noticed by its failure.
    done = launch_with(["status", tmp_path / "runs"], PATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[1:5] for line in done.stdout.splitlines()[1:]] == [["done", "7", "2x2", "40/40"]] * 100


def launch_with(words: list[object], folder: Path = ROOT, **env: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "launch", *map(str, words)]
    given = environment(**env) | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("verb", ["status", "list"])
def test_runs_below_the_working_directory_are_shown_as_they_are_typed(tmp_path: Path, verb: str):
    run = record(tmp_path / "runs" / "a", [SUBMITTED, STARTED, DONE])
    for folder, shown in (
        (tmp_path, "runs/a"),
        (tmp_path / "runs", "a"),
        (run.path, str(run.path)),
        (ROOT, str(run.path)),
    ):
        line = launch_with([verb, run.path], folder).stdout.splitlines()[1]
        assert line.split()[0] == shown


def state(run: RunDir) -> str:
    return states.look([run.path])[0][0].state


def start(tmp_path: Path, text: str, name: str = "run", ranks: int = 2) -> RunDir:
    """A detached run of a program."""
    program = tmp_path / f"{name}.py"
    program.write_text(text)
    done = launch(
        "--backend", "local", "--runs", tmp_path, "--name", name, "--ranks-per-node", ranks, "--detach", program
    )
    assert done.returncode == 0, done.stderr
    return RunDir(tmp_path / name)


def said(run: RunDir, word: str) -> bool:
    return any(word in log.read_text() for log in run.logs.glob("node*.log"))


def test_a_program_that_left_as_it_was_asked_to_is_said_to_have(tmp_path: Path):
    run = start(tmp_path, SAVES, ranks=1)
    until(lambda: said(run, "here 0"), 30)
    cancelled = launch("cancel", run.path)
    again = f"continue it: python -m launch resume {run.path}"
    assert cancelled.stdout == f"{run.path}: ended as it was asked to (status 75); {again}\n", cancelled.stderr


def test_a_local_run_from_start_to_cancel(tmp_path: Path):
    run = start(tmp_path, WAIT)
    assert state(run) in ("queued", "running")
    until(lambda: said(run, "here 0") and said(run, "here 1"), 30)
    run.append_event("evaluated", step=1)  # as workloads do; it is none of the run's life
    (known,), _ = states.look([run.path])
    assert (known.state, known.source, known.hosts) == ("running", "scheduler", socket.gethostname())
    cancelled = launch("cancel", run.path)
    assert cancelled.returncode == 0, cancelled.stderr
    assert cancelled.stdout == f"{run.path}: ended, nothing saved; start it again: python -m launch resume {run.path}\n"
    assert state(run) == "cancelled"
    again = launch("cancel", run.path)
    assert (again.returncode, again.stdout) == (0, f"{run.path}: is not running (cancelled)\n")


def test_a_launcher_that_was_killed_has_lost_its_run(tmp_path: Path):
    run = start(tmp_path, WAIT)
    until(lambda: said(run, "here 0"), 30)
    os.kill(run.events("started")[0]["pid"], signal.SIGKILL)
    until(lambda: state(run) == "lost", 10)
    done = launch("status", run.path)
    assert "is gone and has noted no end: resume goes on" in done.stdout
    assert "is not running (lost)" in launch("cancel", run.path).stdout


def test_a_run_of_another_host_is_left_alone(tmp_path: Path):
    run = start(tmp_path, WAIT)
    process = run.path / "jobs" / "1" / "process"
    until(lambda: said(run, "here 0"), 30)
    real = process.read_text()
    process.write_text(json.dumps(json.loads(real) | {"host": "elsewhere"}))
    (known,), _ = states.look([run.path])
    assert (known.state, known.reason) == ("unknown", "started on elsewhere: ask there")
    for verb in ("cancel", "resume"):
        refused = launch(verb, run.path)
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1, refused.stderr
    process.write_text(real)
    assert launch("cancel", run.path).returncode == 0


def test_logs_of_ranks_nodes_and_of_all(tmp_path: Path):
    run = record(tmp_path / "a", [])
    run.node_log(0).write_bytes(b"0: a\n1: b\n 0: \xff c\n1:\n0: end")
    run.node_log(1).write_bytes(b"2: d\n3: e\n2: 0: f\n")
    run.job_log.write_text("launch: attempt 1\n")

    def shown(*words: object) -> bytes:
        done = subprocess.run(
            [sys.executable, "-m", "launch", "logs", run.path, *map(str, words)],
            cwd=ROOT, env=environment(), capture_output=True, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    assert shown() == run.node_log(0).read_bytes() + b"\n" + run.node_log(1).read_bytes()
    assert shown("--rank", 0) == b"a\n\xff c\nend\n"
    assert shown("--rank=2", "-n", 1) == b"0: f\n"
    assert shown("--node", 1, "--lines", 2) == b"3: e\n2: 0: f\n"
    assert shown("--job") == b"launch: attempt 1\n"
    for log in (run.node_log(0), run.node_log(1)):
        log.write_bytes(b"")
    silent = launch("logs", run.path)
    assert (silent.returncode, silent.stdout) == (0, "") and "nothing has been printed" in silent.stderr


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 90))), st.integers(1, 12), st.integers(1, 300))
def test_the_last_lines_of_a_rank(lines: list[tuple[int, int]], count: int, block: int):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "_BLOCK", block)
        path = Path(folder) / "node0.log"
        path.write_text("".join(f"{rank}: {'x' * length}{i}\n" for i, (rank, length) in enumerate(lines)))
        log = logs.Log(path, rank=1)
        log.rewind(count)
        mine = [f"{'x' * length}{i}\n".encode() for i, (rank, length) in enumerate(lines) if rank == 1]
        assert list(log.more(over=False)) == mine[-count:]


def test_logs_follow_until_the_run_ends(tmp_path: Path):
    run = start(tmp_path, "import time\nfor i in range(12): print(i, flush=True); time.sleep(0.25)\n", ranks=1)
    done = launch("logs", run.path, "--follow", "--rank", 0, wait=60)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, list(map(str, range(12))), "")
    assert state(run) == "done"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["status"], "runs is not a folder: give a run, or a folder of runs"),
        (["status", "."], ". has no run in it"),
        (["status", "a", "--jsno"], "unknown option --jsno of status: did you mean '--json'?"),
        (["logs"], "logs needs one run, and 0 are given"),
        (["logs", "a", "b"], "logs needs one run, and 2 are given"),
        (["logs", "."], ". is not a run: it has no run.json"),
        (["logs", "here/a", "--rank", "4"], "--rank 4: the ranks of"),
        (["logs", "here/a", "--node", "-1"], "--node -1: the nodes of"),
        (["logs", "here/a", "--rank", "1", "--job"], "--rank and --job contradict each other"),
        (["logs", "here/a", "--lines", "0"], "--lines 0: give 1 or more"),
        (["logs", "here/a", "--rank", "x"], "option --rank: 'x' is not a whole number"),
        (["cancel"], "cancel needs a run"),
        (["cancel", "--all"], "unknown option --all of cancel"),
        (["cancel", "nothing"], "nothing is not a folder"),
    ],
)
def test_refusals(tmp_path: Path, words: list[str], says: str):
    if "here/a" in words:
        record(tmp_path / "here" / "a", [])
    refused = launch_with(words, tmp_path)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and says in refused.stderr, refused.stderr
