"""How far a run is, from its recorded files: the live line, on a terminal and elsewhere, and the last words."""

import fcntl
import io
import os
import pty
import select
import struct
import termios
import time
from pathlib import Path

import pytest
from plans import plan, run_of

from launch.errors import command
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.record.performance.pace import pace
from launch.record.progress import Progress, Tail, closing, summary
from launch.record.rundir import RunDir
from launch.record.writing import append_line, publish_json

PLAN = plan(Request(nodes=2, ranks_per_node=2), kind="workload")
PROGRAM = plan(Request(nodes=2))
TRAINING = {"steps": 100, "steps_per_epoch": 20, "epochs": 5.0, "global_batch": 128}


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return run_of(PLAN, tmp_path / "run")


def stepped(
    run: RunDir, *steps: int, seconds: float = 0.5, rank: int = 0, compiled: bool = False, loss: float = 0.25
) -> None:
    for step in steps:
        line = {"rank": rank, "attempt": 1, "step": step, "start": 1000.0 + step * seconds, "seconds": seconds,
                "loss": loss, "compiled": compiled}  # fmt: skip
        append_line(run.steps / "node0.jsonl", line)


def watch(run: RunDir, planned: Plan = PLAN, stream: io.TextIOBase | None = None) -> Progress:
    return Progress(run, planned, stream or io.StringIO())


def test_before_the_first_step_there_is_nothing_to_say(run: RunDir):
    show = watch(run)
    assert show.line() == ""
    publish_json(run.training_json, TRAINING)
    assert show.line() == ""


def test_the_numbers_of_the_line(run: RunDir):
    show = watch(run)
    publish_json(run.training_json, TRAINING)
    stepped(run, 1, seconds=9.0, compiled=True)  # the compilation is no measure of the speed
    assert show.line() == "epoch 0.05/5  step 1/100  loss 0.25"
    stepped(run, *range(2, 41))
    stepped(run, *range(1, 99), rank=1, loss=9.0)  # the other rank of the node
    # 128 examples in 0.5 s; 60 steps are left.
    assert show.line() == "epoch 2.00/5  step 40/100  loss 0.25  256 examples/s on 4 ranks  00:00:30 left"
    assert show.line() == "epoch 2.00/5  step 40/100  loss 0.25  256 examples/s on 4 ranks  00:00:30 left"


def test_the_speed_is_that_of_the_last_seconds(run: RunDir):
    show = watch(run)
    publish_json(run.training_json, TRAINING)
    stepped(run, *range(1, 11), seconds=0.1)
    assert "1280 examples/s" in show.line()
    for step in range(40, 80):  # an hour later
        line = {"rank": 0, "step": step, "start": 5000.0 + step, "seconds": 1.0, "loss": 0.1, "compiled": False}
        append_line(run.steps / "node0.jsonl", line)
    assert "128 examples/s on 4 ranks  00:00:21 left" in show.line()


def test_a_resumed_run_is_measured_anew(run: RunDir):
    publish_json(run.training_json, TRAINING)
    stepped(run, *range(1, 51), seconds=10.0)
    show = watch(run)  # the launcher of the second attempt
    assert show.line() == ""
    stepped(run, 41, 42, seconds=0.5)  # from the checkpoint on
    assert show.line() == "epoch 2.10/5  step 42/100  loss 0.25  256 examples/s on 4 ranks  00:00:29 left"


def counted(run: RunDir, node: int, rank: int, *examples: float | None, attempt: int = 1) -> None:
    """Steps of 0.5 s with so many examples each."""
    for step, each in enumerate(examples, 1):
        line = {"rank": rank, "attempt": attempt, "step": step, "start": 1000 + step * 0.5, "seconds": 0.5}
        append_line(run.node_steps(node), line | ({} if each is None else {"examples": each}))


def test_the_examples_of_all_steps_and_ranks_count(tmp_path: Path):
    run = run_of(plan(Request(nodes=2, ranks_per_node=2)), tmp_path / "run")
    counted(run, 0, 0, 128, 128, 128, 128, 128, 128, 128, 128, 128, 2)
    assert pace(run).throughput == pytest.approx(1154 / 5)  # the ranks that record none count for nothing
    counted(run, 0, 1, 12, 12)
    assert pace(run).throughput == pytest.approx(1154 / 5 + 24)
    counted(run, 1, 2, 1000, 1000, attempt=2)  # of another attempt
    assert pace(run).throughput == pytest.approx(1154 / 5 + 24)
    counted(run, 1, 3, 100)
    assert pace(run).throughput == pytest.approx(1154 / 5 + 24 + 200)
    counted(run, 1, 3, None)  # a rank that does not count: that of all is not known
    assert pace(run).throughput is None and pace(run).step == 10


def test_the_files_of_some_nodes_stand_for_those_of_all(tmp_path: Path):
    run = run_of(plan(Request(nodes=101)), tmp_path / "run")
    for rank in range(101):
        counted(run, rank, rank, 10, 10)
    assert pace(run).throughput == pytest.approx(101 * 20)


def test_a_line_that_a_kill_has_cut_is_passed_over(run: RunDir):
    show = watch(run)
    publish_json(run.training_json, TRAINING)
    with open(run.steps / "node0.jsonl", "a") as steps:
        steps.write('{"rank": 0, "step": 7, "sta')
    stepped(run, 8)
    assert "step 8/100" in show.line()


def test_only_whole_lines_are_followed(tmp_path: Path):
    path = tmp_path / "node0.log"
    tail = Tail(path)
    assert tail.lines() == []
    with open(path, "ab", buffering=0) as log:
        log.write("0: größ".encode()[:-1])
        assert tail.lines() == []
        log.write("ß".encode()[-1:] + b"e\n0: two\n0: thr")
        assert tail.lines() == ["0: größe", "0: two"]
        log.write(b"ee\n")
        assert tail.lines() == ["0: three"]
    assert Tail(path, from_end=True).lines() == []


def test_of_a_workload_the_chief_is_heard(run: RunDir):
    stream = io.StringIO()
    show = watch(run, stream=stream)
    run.node_log(0).write_text(
        "0: hello\n1: me too\n 0: padded by srun\n0: 10%\r20%\r30%\n0: \n0: slurmstepd-a: error: x\nno label\n"
    )
    run.node_log(1).write_text("2: from afar\n")
    show.close()
    assert stream.getvalue() == "hello\npadded by srun\n30%\n"


def test_of_a_program_all_are_heard(run: RunDir):
    stream = io.StringIO()
    show = watch(run, PROGRAM, stream)
    run.node_log(0).write_text("0: hello\n")
    run.node_log(1).write_text("1: me too\n")
    show.close()
    assert stream.getvalue() == "0: hello\n1: me too\n"


def test_elsewhere_than_on_a_terminal_a_line_comes_once_a_minute(run: RunDir, monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stream = io.StringIO()
    show = watch(run, stream=stream)
    publish_json(run.training_json, TRAINING)
    show("job 7 is pending: Priority")
    assert stream.getvalue() == ""
    now = 110.0
    show("job 7 is pending: Priority")
    now = 170.0
    show("job 7 is pending: Priority")  # nothing new
    stepped(run, 1, 2)
    now = 229.0
    show()
    now = 230.0
    show()
    assert stream.getvalue() == (
        "job 7 is pending: Priority\nepoch 0.10/5  step 2/100  loss 0.25  256 examples/s on 4 ranks  00:00:49 left\n"
    )


def test_on_a_terminal_the_line_stays_in_its_place(run: RunDir, monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with open(theirs, "w", closefd=True) as stream:
        show = watch(run, stream=stream)
        publish_json(run.training_json, TRAINING)
        stepped(run, 1, 2)
        now = 101.0
        show()
        run.node_log(0).write_text("0: hello\n")
        show()
        show.close()
    # Cut to the width of the terminal, less one; taken away before the words of a rank, and at the end.
    line = "[............]  epoch 0.10/5  step 2/100  loss 0.25"
    expected = f"\r{line[:39]}\r{' ' * 39}\rhello\r\n\r\r"
    seen = ""
    while len(seen) < len(expected) and select.select([ours], [], [], 5.0)[0]:  # a terminal hands on what it has so far
        seen += os.read(ours, 4096).decode()
    os.close(ours)
    assert seen == expected


def test_last_words(run: RunDir):
    again = f"continue it: {command('resume', run.path)}"
    assert closing(run, PLAN, "stopped") == f"stopped before the end: {run.path}\n{again}"
    assert closing(run, PLAN, "timeout") == f"timeout before the end: {run.path}\n{again}"
    failed = closing(run, PLAN, "failed").splitlines()
    assert failed[0] == f"failed: {run.path}" and failed[-1] == again and "no rank said why" in failed[1]
    assert closing(run, PLAN, "done") == f"done: {run.path}"


def test_after_a_failure_it_is_said_how_changed_code_is_run(run: RunDir):
    assert "--code" not in closing(run, PLAN, "failed")
    again = closing(run, PLAN, "failed").splitlines()[-1]
    publish_json(run.path / "code.json", {"snapshot": True, "trees": []})
    *_, hint, last = closing(run, PLAN, "failed").splitlines()
    assert "--code current" in hint and last == again
    assert "--code" not in closing(run, PLAN, "stopped")


def test_the_summary_of_a_finished_run(run: RunDir):
    run.figures.mkdir()
    (run.figures / "flows.png").write_bytes(b"")
    (run.figures / ".half-written").write_bytes(b"")
    phases = {"queue": None, "train": 12.34, "evaluate": 0.5}
    publish_json(
        run.result_json,
        {
            "status": "done",
            "metrics": {"relative_error": 0.0123456},
            "throughput_examples_per_s": 1000.0,
            "phases_s": phases,
        },
    )
    assert summary(run, PLAN).splitlines() == [
        "  relative error  0.01235",
        "  throughput      1000 examples/s on 4 ranks (250 each)",
        "  seconds         train 12.3, evaluate 0.5",
        f"  figure          {run.figures / 'flows.png'}",
    ]
    assert closing(run, PLAN, "done").startswith(f"done: {run.path}\n  relative error")
    publish_json(run.result_json, {"status": "done", "throughput": 2.0, "unit": "rank-runs/s"})
    assert "2 rank-runs/s on 4 ranks (runs/s of each rank, added up)" in summary(run, PLAN)
