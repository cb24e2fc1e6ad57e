"""Nodes that keep failing: told from programs that keep failing, by what runs have noted."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import LAPTOP, plan, run_of

from launch.cli.resume import without
from launch.errors import Refusal
from launch.plan.request import Request
from launch.record.failures import bad_nodes
from launch.record.rundir import RunDir
from launch.record.writing import append_line

BEGUN = 1_700_000_000.0
BUS = "RuntimeError: CUDA error: GPU has fallen off the bus"


def attempt(
    run: RunDir, nodes: str, host: str = "", error: str = "", outcome: str = "", time: float | None = None
) -> None:
    """Note an attempt: done, or with a first failure on a host; without an outcome nothing is noted of its end."""
    number = len(run.events("started")) + 1
    time = BEGUN + 100 * number if time is None else time
    append_line(
        run.events_jsonl, {"event": "started", "time": time, "attempt": number, "host": "n1", "pid": 1, "nodes": nodes}
    )
    if host:
        failure = {"rank": 0, "node": 0, "host": host, "error": error, "traceback": "", "time": None}
        ended = {"outcome": outcome or "failed", "first_failure": failure}
    else:
        ended = {"outcome": outcome}
    if outcome or host:
        append_line(run.events_jsonl, {"event": "ended", "time": time + 50, "attempt": number, "status": 1, **ended})


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return run_of(plan(Request(nodes=4)), tmp_path / "run")


def names(*runs: RunDir) -> list[str]:
    return [node.host for node in bad_nodes.among(runs)]


def test_one_failure_is_none(run: RunDir):
    attempt(run, "n[1-4]", "n3", "ValueError: bad mesh")
    assert names(run) == []


def test_the_same_node_twice(run: RunDir):
    attempt(run, "n[1-4]", "n3", "ValueError: bad mesh")
    attempt(run, "n[3-6]", "n3", "exit status 1")
    attempt(run, "n[5-8]", "n7", "KeyError: 'x'")
    (bad,) = bad_nodes.among([run])
    assert (bad.host, bad.failed, bad.attempts, bad.runs) == ("n3", 2, 2, (run.path,))
    assert bad_nodes.said([bad]) == ["n3 was the first to fail in 2 of the 2 attempts it was in: exit status 1"]


def test_over_the_runs_of_a_study(tmp_path: Path):
    runs = [run_of(plan(Request(nodes=2)), tmp_path / name) for name in "abc"]
    attempt(runs[0], "n[1-2]", "n2", "OSError: [Errno 5] Input/output error: 'mesh1'")
    attempt(runs[1], "n[1,3]", outcome="done")
    attempt(runs[2], "n[2,4]", "n2", "OSError: [Errno 5] Input/output error: 'mesh2'")
    assert names(*runs) == ["n2"]
    assert bad_nodes.among(runs)[0].runs == (runs[0].path, runs[2].path)


def test_what_fails_on_other_nodes_too_is_the_programs_doing(run: RunDir):
    for host in ("n3", "n3", "n1"):
        attempt(run, "n[1-4]", host, f"IndexError: list index out of range on {host}, line {len(host)}")
    assert names(run) == []


@pytest.mark.parametrize("error", ["node failure", BUS, "uncorrectable ECC error encountered"])
def test_a_node_that_was_lost_or_lost_its_gpu_is_bad_at_once(run: RunDir, error: str):
    attempt(run, "n[1-4]", "n2", error)
    assert names(run) == ["n2"]


def test_a_node_that_has_done_well_since_is_well(run: RunDir, tmp_path: Path):
    attempt(run, "n[1-4]", "n2", "node failure")
    later, earlier = (run_of(plan(Request(nodes=2)), tmp_path / name) for name in ("later", "earlier"))
    attempt(earlier, "n[1-2]", outcome="done", time=BEGUN - 1000)
    assert names(run, earlier) == ["n2"]
    attempt(later, "n[1-2]", outcome="done", time=BEGUN + 1000)
    assert names(run, earlier, later) == []


def test_who_speaks_of_anothers_end_is_not_to_blame(run: RunDir):
    for _ in range(3):
        attempt(run, "n[1-4]", "n1", "HorovodInternalError: Connection closed by peer [10.0.0.2]:3101")
    assert names(run) == []
    for port in (3101, 4711):
        attempt(
            run,
            "n[1-4]",
            "n4",
            f"n4 cannot reach rank 0 on port {port} (10.0.0.1: No route to host): no route between the nodes?",
        )
    assert names(run) == ["n4"]


def test_the_node_of_a_job_script_that_has_vanished(run: RunDir):
    for number in (1, 2, 3):
        attempt(run, "n[1-4]")
        run.job_log.write_text("".join(f"launch: attempt {i}\n" for i in range(1, number + 1)))
    (bad,) = bad_nodes.among([run])  # the third may be under way
    assert (bad.host, bad.failed, bad.attempts, bad.error) == ("n1", 2, 2, bad_nodes.GONE)
    run.job_log.write_text(
        "launch: attempt 1\nslurmstepd: error: *** JOB 2 ON n1 CANCELLED AT 2026-11-24T01:00:00 DUE TO JOB REQUEUE ***\n"
        "launch: attempt 2\nlaunch: attempt 3\n"
    )
    assert names(run) == []


def test_of_runs_of_this_machine_nothing_is_said(tmp_path: Path):
    run = run_of(plan(Request(), here=LAPTOP), tmp_path / "run")
    for number in (1, 2, 3):
        append_line(run.events_jsonl, {"event": "started", "time": BEGUN, "attempt": number, "host": "vm", "pid": 1})
    assert names(run) == []


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["", "KeyError: 'a'", "exit status 1", BUS])), max_size=8))
def test_whom_it_names_has_failed(tmp_path_factory: pytest.TempPathFactory, attempts: list[tuple[int, str]]):
    run = run_of(plan(Request(nodes=4)), tmp_path_factory.mktemp("runs") / "run")
    for host, error in attempts:
        attempt(run, "n[1-4]", f"n{host}" if error else "", error, "" if error else "done")
    last_well = max((i for i, (_, error) in enumerate(attempts) if not error), default=-1)
    since = attempts[last_well + 1 :]
    for node in bad_nodes.among([run]):
        own = [error for host, error in since if f"n{host}" == node.host]
        assert node.failed == len(own) and node.error == own[-1] and (len(own) >= 2 or BUS in own)
        assert node.attempts == len(attempts)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ("--exclude=n2,n3",)),
        ({"sbatch_args": ("--exclude=n1,n2", "--exclusive")}, ("--exclusive", "--exclude=n1,n2,n3")),
        ({"directives": {"exclude": "n9"}}, ("--exclude=n9,n2,n3",)),
    ],
)
def test_they_are_left_out_beside_those_that_were(asked: dict, expected: tuple[str, ...]):
    left = without(plan(Request(), **asked), ["n2", "n3"]).sbatch_args
    assert sorted(",".join(left).replace("--exclude=", "").split(",")) == sorted(
        ",".join(expected).replace("--exclude=", "").split(",")
    )
    assert left[:-1] == expected[:-1]
    assert without(plan(Request()), []).sbatch_args == ()


def test_this_machine_has_no_other_node():
    with pytest.raises(Refusal, match="--exclude-bad-nodes is for runs under Slurm, and .* runs on this machine"):
        without(plan(Request(), here=LAPTOP), [])
