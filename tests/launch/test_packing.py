"""Studies in one allocation: its size, its price, and the order in it; and efficiencies that cut the larger points off."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from launched import facts, launch
from plans import LAPTOP, plan, slowing_study

from launch.plan import packing
from launch.plan.request import Request
from launch.record.rundir import RunDir
from launch.record.writing import publish_json
from launch.submit import cutoff
from launch.submit.cutoff import Measured
from launch.submit.study import planning

NODES = st.lists(st.integers(1, 64), min_size=1, max_size=12)


@given(NODES, st.integers(1, 200))
def test_the_allocation_holds_every_run_and_lasts_for_all(nodes: list[int], seconds: int):
    plans = [plan(Request(nodes=n, name=f"n{n}", time=f"0:{seconds}", gpus_per_node=4, pack=True)) for n in nodes]
    job = packing.allocation("scaling", plans)
    minutes = math.ceil(seconds / 60)
    assert (job.nodes, job.job_name, job.time_s) == (max(nodes), "scaling", 60 * minutes * len(nodes))
    hours, unit = planning.cost([job])
    assert (hours, unit) == (pytest.approx(max(nodes) * 4 * minutes / 60 * len(nodes)), "GPU-hours")


@given(NODES, st.booleans(), st.sampled_from([None, 0.5]))
def test_the_order(nodes: list[int], pack: bool, least: float | None):
    runs = [(index, plan(Request(nodes=n, time="1", pack=pack, stop_below=least))) for index, n in enumerate(nodes)]
    ordered = packing.in_order(runs)
    assert sorted(index for index, _ in ordered) == list(range(len(nodes)))
    sizes = [each.nodes for _, each in ordered]
    if least:
        assert sizes == sorted(nodes)
    elif pack:
        assert sizes == sorted(nodes, reverse=True)
    else:
        assert sizes == nodes


@given(
    st.lists(
        st.tuples(st.integers(1, 99), st.floats(0.1, 1e4)), min_size=1, max_size=6, unique_by=lambda pair: pair[0]
    ),
    st.floats(0.01, 1),
)
def test_who_is_cut_off(pairs: list[tuple[int, float]], least: float):
    points = [Measured(nodes, 4 * nodes, rate) for nodes, rate in pairs]
    base = min(points)
    bad = [point.nodes for point in points if point.rate / point.nodes < least * base.rate / base.nodes]
    for nodes in (1, 50, 100):
        assert bool(cutoff.why(points, nodes, least)) == any(small < nodes for small in bad)


def test_the_reason_has_the_numbers():
    points = [Measured(1, 4, 100.0), Measured(2, 8, 150.0), Measured(4, 16, 200.0)]
    said = "efficiency 0.5 on 4 nodes is below 0.6 (200 examples/s on 16 ranks, against 100 on 4)"
    assert cutoff.why(points, 8, 0.6) == said
    assert cutoff.why(points, 4, 0.6) == ""  # it was fine on 2; its own measurement is there


def results(folder: Path, rates: dict[str, float | None]) -> dict[str, RunDir]:
    """A study as it is in mid-flight: rates of its finished runs, by name as n2-r1; None of those still to come."""
    runs = {name: RunDir(folder / name) for name in rates}
    publish_json(
        folder / "study.json",
        {
            "scaling": "weak",
            "runs": [{"run": name, "nodes": int(name[1]), "values": {"seed": name[-1]}, "repeat": 1} for name in rates],
        },
    )
    for name, run in runs.items():
        run.create()
        if rates[name]:
            publish_json(run.result_json, {"throughput_examples_per_s": rates[name], "ranks": int(name[1])})
    return runs


def test_a_point_counts_when_all_its_runs_are_over(tmp_path: Path, capsys: pytest.CaptureFixture):
    runs = results(tmp_path, {"n1-r1": 100, "n1-r2": 300, "n2-r1": 120, "n2-r2": None, "n4-r1": None})
    planned = plan(Request(nodes=4, stop_below=0.5))
    runs["n2-r2"].append_event("submitted")
    assert not cutoff.cut(runs["n4-r1"], planned)
    runs["n2-r2"].append_event("ended", outcome="failed")
    assert cutoff.cut(runs["n4-r1"], planned)
    # 150 = 2 / (1/100 + 1/300): the harmonic mean of the two on one node
    reason = "efficiency 0.4 on 2 nodes is below 0.5 (120 examples/s on 2 ranks, against 150 on 1)"
    assert capsys.readouterr().out == f"n4-r1: not run: {reason}\n"
    assert runs["n4-r1"].events("cancelled")[0]["reason"] == reason
    assert not cutoff.cut(runs["n2-r2"], plan(Request(nodes=2, stop_below=0.5)))
    assert not cutoff.cut(runs["n4-r1"], plan(Request(nodes=4)))


def test_runs_without_a_throughput_skip_nothing_and_are_named_once(tmp_path: Path, capsys: pytest.CaptureFixture):
    runs = results(tmp_path, {"n1-r1": 100, "n2-r1": None, "n4-r1": None})
    publish_json(runs["n2-r1"].result_json, {"status": "done", "ranks": 2})
    planned = plan(Request(nodes=4, stop_below=0.9))
    assert not cutoff.cut(runs["n4-r1"], planned) and not cutoff.cut(runs["n4-r1"], planned)
    said = capsys.readouterr().out
    assert (
        said.startswith("--stop-below skips nothing because of n2-r1, without a throughput: ") and said.count("\n") == 1
    )


def test_programs_of_which_nobody_knows_whether_they_report_a_speed_are_taken(tmp_path: Path):
    words = ["--stop-below=0.5", "--nodes=1,2", "--backend=local", "--dry-run", "--runs", tmp_path]
    taken = launch(*words, __file__)
    assert taken.returncode == 0 and "is below 0.5" in taken.stdout, taken.stderr


def test_what_the_prediction_does_not_even_hope_for_is_left_out():
    """By python -m profiling predict: the upper end of the interval decides, and from three points on."""
    falling = [
        cutoff.Measured(nodes, nodes, 100 * nodes * each) for nodes, each in ((1, 1), (2, 0.88), (4, 0.76), (8, 0.64))
    ]
    assert cutoff.why(falling, 32, 0.62) == ""  # what was measured is well
    said = cutoff.why_predicted(falling, 32, 32, "weak", 0.62)
    assert re.fullmatch(
        r"predicted efficiency on 32 nodes is 0\.4\d*, at most 0\.6\d*, below 0\.62 \(from 4 smaller .*", said
    )
    assert cutoff.why_predicted(falling, 32, 32, "weak", 0.5) == ""  # it may be
    assert cutoff.why_predicted(falling[:2], 32, 32, "weak", 0.9) == ""
    flat = [cutoff.Measured(nodes, nodes, 100 * nodes) for nodes in (1, 2, 4)]
    assert cutoff.why_predicted(flat, 64, 64, "weak", 0.6) == ""


def test_without_the_smallest_nothing_is_compared(tmp_path: Path):
    runs = results(tmp_path, {"n1-r1": None, "n2-r1": 100, "n4-r1": 100, "n8-r1": None})
    runs["n1-r1"].append_event("ended", outcome="failed")
    assert not cutoff.cut(runs["n8-r1"], plan(Request(nodes=8, stop_below=0.9)))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pack", "--nodes=2", "tiny"], "--pack is for studies"),
        (["--stop-below=0.5", "--nodes=2", "tiny"], "--stop-below is for studies"),
        (["--pack", "--nodes=1,2", "tiny"], "--pack needs the walltime of a run"),
        (
            ["--pack", "--nodes=1,2", "--time=1", "--throttle=2", "tiny"],
            "--throttle is for runs that are jobs of their own",
        ),
        (
            ["--pack", "--nodes=1,2", "--time=1", "--max-attempts=2", "tiny"],
            "--max-attempts is for runs that are jobs of their own",
        ),
        (["--stop-below=0", "--nodes=1,2", "tiny"], "option --stop-below: '0' is not"),
        (["--stop-below=0.5", "--repeats=2", "tiny"], "--stop-below compares numbers of nodes"),
        (["--stop-below=0.5", "--nodes=1,2", "--detach", "tiny"], "--stop-below needs somebody who watches"),
        (["--pack", "--nodes=1,2", "--time=30", "--budget=1.9", "tiny"], "it takes up to 2 node-hours"),
        (["--pack", "--nodes=1,2", "--time=30", "--backend=local", "tiny"], "--pack is for a scheduler"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, words: list[str], said: str):
    backend = [] if "--backend=local" in words else ["--site=slurm"]
    refused = launch(*backend, "--dry-run", "--runs", tmp_path, *words)
    assert refused.returncode == 2 and refused.stderr.startswith(f"launch: {said}"), refused.stdout + refused.stderr
    assert refused.stderr.count("\n") == 1


def test_the_limits_of_the_partition_are_those_of_the_allocation(tmp_path: Path):
    site = tmp_path / "here.toml"
    site.write_text('partition = "p"\n[partitions.p]\nmax_time = "1:00:00"\n')
    words = ["--site", site, "--dry-run", "--nodes=1,2", "--repeats=2", "--time=20", "--name=s", "tiny"]
    assert launch(*words).returncode == 0
    refused = launch("--pack", *words)
    assert refused.returncode == 2 and "--time 01:20:00 is more than partition p" in refused.stderr


def test_the_plan_says_what_it_costs(tmp_path: Path):
    dry = launch(
        "--site=slurm", "--gpus-per-node=4", "--nodes=1,2,4", "--repeats=2", "--time=30", "--pack", "--stop-below=0.6",
        "--dry-run", "--runs", tmp_path / "runs", "--name=weak", "tiny",
    )  # fmt: skip
    assert dry.returncode == 0, dry.stderr
    said = facts(dry.stdout)
    assert said["walltime"] == "00:30:00 each, 03:00:00 in all: 4 nodes, the runs one after the other, smallest first"
    assert said["cost"] == "48 GPU-hours at most (28 as a job for each run)"
    assert "0.6" in said["stop below"]
    assert "launch.submit.cutoff ." in dry.stdout and dry.stdout.index("run ../../n1-r1") < dry.stdout.index(
        "../../n4-r1"
    )
    assert not (tmp_path / "runs").exists()


def test_a_study_here_ends_where_it_becomes_inefficient(tmp_path: Path):
    folder = slowing_study(tmp_path, LAPTOP)
    made = launch("resume", folder)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "n4-r1: not run: efficiency 0.5 on 2 nodes is below 0.75 (100 examples/s on 2 ranks" in made.stdout
    assert "2 of 2 runs are done" in made.stdout
    assert not RunDir(folder / "n4-r1").events("started")
    again = launch("resume", folder)  # what was measured still holds
    assert again.returncode == 0 and "n4-r1: not run" in again.stdout
