"""Energy and power by hand, of runs that were resumed on other GPUs, read in part, or whose clock was set meanwhile."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from launched import ROOT, environment
from nvml import cards as emulated
from plans import LAPTOP, plan, run_of
from studies import change, change_json, make

from launch.record.rundir import RunDir
from launch.record.writing import append_line
from profiling.__main__ import main
from profiling.study import cost, resource_usage, runs
from profiling.study.cost import Tariff
from profiling.telemetry import coverage, notes, used
from profiling.telemetry.reading_lines import ReadingWriter
from profiling.telemetry.usage import cards, usage

BEGAN, WATTS = 1.7e9 + 100, 300  # of the first repeat
KWH = WATTS * 30 / 3.6e6  # of a GPU in a run of 30 s


def read(run: RunDir, node: int = 0, device: str = "", attempt: int = 1, rank: int | None = -1, begin=BEGAN, seconds=30, set_by=None, leave=()) -> None:  # fmt: skip
    """Readings once a second of a node, its rank (by default of its number) and a GPU that draws `WATTS`, of which the
    counter counts as much; ``set_by``: how far the node's clock was set in the middle, if that is recorded and where
    it was, then with its true value; ``leave``: seconds to leave out."""
    recorded, moved = (False, 0) if set_by is None else set_by
    with ReadingWriter(run.node_readings(node, attempt)) as writer:
        for second in range(seconds + 1):
            ahead = 1000 * moved * (second > seconds // 2)
            now = {"time_ms": round(1000 * (begin + second)) + ahead, "node": node, "attempt": attempt}
            now |= {"clock_set_ms": ahead} if recorded else {}
            gpu = now | {"device": device or f"GPU-{node}", "power_average_mw": 1000 * WATTS, "energy_mj": 10**6 * (2 + node) + 1000 * WATTS * second}  # fmt: skip
            if rank is not None:
                gpu |= {"rank": node if rank < 0 else rank, "cpu_ms": 1000 * second, "rss_bytes": 2**20}
            if second not in leave:
                writer.write([gpu, now | {"host_cpu_ms": 1000 * second, "host_available_bytes": 2**30}])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Runs of 30 s on one and two nodes of a GPU each, twice; they are not read yet."""
    folder = make(tmp_path / "study", nodes=(1, 2), repeats=2, seconds=lambda ranks, repeat: 0.5)
    for path in folder.glob("n*/run.json"):
        change_json(path, gpus_per_node=1, sample_hz=1.0)
    return folder


def read_all(study: Path, leave_out=(), **how) -> None:
    for repeat in (1, 2):
        for node, name in ((0, f"n1-r{repeat}"), (0, f"n2-r{repeat}"), (1, f"n2-r{repeat}")):
            if (name, node) not in leave_out:
                read(RunDir(study / name), node, begin=BEGAN + 100 * (repeat - 1), **how)


def reported(study: Path, capsys) -> tuple[dict, dict, str]:
    assert main(["report", str(study), "--json", "--carbon-intensity", "500g/kWh"]) == 0
    content = json.loads(capsys.readouterr().out)
    return *content["rows"], "\n".join(content["notes"])


def test_all_that_was_read_is_added_up(study: Path, capsys):
    read_all(study)
    one, two, said = reported(study, capsys)
    assert (one["power_w"], two["power_w"]) == (pytest.approx(300), pytest.approx(600))
    assert one["energy_per_example_j"] == pytest.approx(300 * 0.5 / 8)
    assert (one["energy_kwh"], two["energy_kwh"]) == (pytest.approx(KWH), pytest.approx(2 * KWH))
    assert "read" not in said.replace("if they were not all read", "")


def test_a_node_that_was_not_read_leaves_no_sums(study: Path, capsys):
    read_all(study, leave_out=[("n2-r1", 1), ("n2-r2", 1)])
    one, two, said = reported(study, capsys)
    assert one["energy_kwh"] == pytest.approx(KWH) and two["gpu_utilisation"] is None
    assert [two[key] for key in ("power_w", "energy_per_example_j", "energy_kwh", "carbon_kg")] == [None] * 4
    assert "n2-r1: not read: node 1" in said and "n2-r2: not every GPU of node 1 was read" in said
    assert main(["summary", str(study / "n2-r1"), "--carbon-intensity", "500g/kWh"]) == 0
    shown = capsys.readouterr().out
    assert "1 GPU: 300 W together (energy counted)" in shown and "not every GPU of node 1 was read" in shown
    assert "J per example" not in shown and "of the whole run: not known: CO2e" in shown


def test_the_power_of_a_point_is_that_of_the_repeats_that_were_read(study: Path, capsys):
    read_all(study, leave_out=[("n2-r1", 1)])
    _, two, _ = reported(study, capsys)
    assert two["power_w"] == pytest.approx(600) and two["energy_per_example_j"] == pytest.approx(600 * 0.5 / 16)
    assert two["energy_kwh"] is None


def test_an_attempt_that_was_not_read_leaves_no_energy_of_the_run(study: Path, capsys):
    read_all(study)
    for event, after in (("started", 40), ("ended", 70)):
        at = {"time": BEGAN + after, "attempt": 2, "outcome": "done"}
        append_line(study / "n2-r1" / "events.jsonl", {"event": event} | at)
    _, two, said = reported(study, capsys)
    assert two["energy_kwh"] is None and "n2-r1: not read: nodes 0, 1, attempt 2" in said


def test_readings_that_are_missing_in_between_are_told_and_the_counter_spans_them(study: Path, capsys):
    read_all(study, set_by=(True, 0), leave=range(8, 22))
    one, _, said = reported(study, capsys)
    assert one["energy_kwh"] == pytest.approx(KWH) and "n1-r1: node 0: 14 of 31 readings are missing" in said


def test_gpus_in_another_order_after_a_restart_are_as_many(tmp_path: Path):
    run = run_of(plan(here=LAPTOP, nodes=2, sample_hz=1.0), tmp_path / "run")
    for attempt, names in ((1, "ab"), (2, "ba")):
        for node in (0, 1):
            read(run, node, f"GPU-{names[node]}", attempt, begin=BEGAN + 100 * attempt)
    for _ in range(5):
        gpus = cards(usage(run.readings))
        assert [(one.numbers["power_w"], one.seconds, one.device) for one in gpus] == [
            (pytest.approx(300), 60, "GPU-b"),
            (pytest.approx(300), 60, "GPU-a"),
        ]
        (costs,) = cost.of_runs([run], Tariff(0.5))
        assert costs["energy_kwh"] == pytest.approx(4 * KWH)


def test_nodes_that_share_a_gpu_count_it_once_in_each_attempt(tmp_path: Path):
    run = run_of(plan(here=LAPTOP, nodes=2, sample_hz=1.0), tmp_path / "run")
    for attempt, device in ((1, "GPU-a"), (2, "GPU-b")):
        for node in (0, 1):
            read(run, node, device, attempt, begin=BEGAN + 100 * attempt)
    assert cost.of_runs([run], Tariff(0.5))[0]["energy_kwh"] == pytest.approx(2 * KWH)


def test_gpus_without_a_rank_on_another_node_after_a_restart_are_the_same_number(tmp_path: Path):
    run = run_of(plan(here=LAPTOP, sample_hz=1.0), tmp_path / "run")
    for attempt, device in ((1, "GPU-x"), (2, "GPU-c")):
        read(run, 0, device, attempt, rank=None, begin=BEGAN + 100 * attempt)
    (gpu,) = cards(usage(run.readings))
    assert (gpu.rank, gpu.device, gpu.seconds, gpu.numbers["power_w"]) == (None, "GPU-c", 60, pytest.approx(300))


@pytest.mark.parametrize("seconds", [600, -5])
def test_a_clock_that_is_set_changes_no_rate_and_no_energy(study: Path, capsys, seconds: int):
    read_all(study, set_by=(True, seconds))
    for path in study.glob("n*/events.jsonl"):
        change(path, lambda event: event | {"time": event["time"] + seconds * (event["event"] == "ended")})
    run = RunDir(study / "n1-r1")
    rank, node = usage(run.readings)
    assert (rank.seconds, rank.numbers["power_w"], rank.numbers["cpu_cores"]) == (30, 300, 1) and rank.power
    assert (rank.power.way, rank.power.doubt, node.numbers["host_cpu_cores"]) == ("counted", "", 1)
    assert coverage.gaps(run, 1, 1.0, notes.read(run), coverage.read([run])[0]) == []
    found = used.of_run(run)
    assert found and found["rank_cores"] == pytest.approx(1)
    one, two, _ = reported(study, capsys)
    assert (one["energy_kwh"], two["energy_kwh"]) == (pytest.approx(KWH), pytest.approx(2 * KWH))


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        (600, "node 0: nothing was read for 601 s, or its clock was set forward"),
        (-9, "node 0: 31 readings at 1 Hz within 21 s: they are there twice, or its clock was set back"),
    ],
)
def test_where_it_is_not_recorded_a_clock_that_may_have_been_set_is_told(study: Path, capsys, seconds: int, line: str):
    read_all(study, set_by=(False, seconds))
    for path in study.glob("n*/events.jsonl"):
        change(path, lambda event: event | {"time": event["time"] + seconds * (event["event"] == "ended")})
    one, _, said = reported(study, capsys)
    assert one["energy_kwh"] is None and f"n1-r1: {line}: rates, power and energy may be wrong" in said


SETS_THE_CLOCK = """
import sys, time
from profiling.telemetry import sampler
unset, began = time.time, time.monotonic()
time.time = lambda: unset() + 600 * (time.monotonic() - began > 2)
sys.exit(sampler.main(sys.argv[1:]))
"""


def test_the_sampler_records_by_how_much_the_clock_was_set(tmp_path: Path):
    run = run_of(plan(here=LAPTOP), tmp_path / "run")
    run.readings.mkdir()
    waits = subprocess.Popen(["sleep", "4"])
    ranks = json.dumps([{"rank": 0, "pid": waits.pid, "gpus": ["GPU-0a"]}])
    words = [sys.executable, "-c", SETS_THE_CLOCK, str(run.path), "0", "1", "10", ranks]
    with subprocess.Popen(words, env=environment(PYTHONPATH=str(ROOT)) | emulated("GPU-0a"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sampler:  # fmt: skip
        waits.wait()
        assert sampler.wait(30) == 0
    lines = [json.loads(line) for line in run.node_readings(0, 1).read_text().splitlines()]
    assert {round(line["clock_set_ms"], -2) for line in lines} == {0, 600_000}
    rank = next(one for one in usage(run.readings) if one.rank == 0)
    assert 2 < rank.seconds < 6 and rank.numbers["power_w"] == pytest.approx(300, rel=0.05)
    assert rank.power and (rank.power.way, rank.power.doubt) == ("counted", "")


def test_many_lines_on_a_run_are_cut(study: Path):
    read_all(study)
    found = runs.read(study)
    for attempt in range(2, 10):
        for event, after in (("started", 0), ("ended", 30)):
            at = BEGAN + 100 * attempt + after
            append_line(
                study / "n1-r1" / "events.jsonl", {"event": event, "time": at, "attempt": attempt, "outcome": "done"}
            )
    lines = resource_usage.of_point(found.by_ranks[1])["doubts"]
    assert len(lines) == 6 and lines[-1] == "n1-r1: 3 more such lines are in its summary"
