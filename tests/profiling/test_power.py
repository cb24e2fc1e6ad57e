"""Numbers of GPUs that check each other: power from counters and readings, GPUs that are lost, what was not read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from launched import ROOT, environment
from nvml import cards
from plans import LAPTOP, plan, run_of
from studies import make, read_gpus

from launch.record.files import read_lines
from launch.record.rundir import RunDir
from launch.record.writing import append_line, publish_json
from profiling.cli import overview, summary
from profiling.study import resource_usage, runs
from profiling.telemetry import counters, coverage, notes, plausible
from profiling.telemetry.power import power
from profiling.telemetry.reading_lines import ReadingWriter
from profiling.telemetry.usage import usage

AT = 10**12  # ms


@pytest.mark.parametrize(
    ("told", "watts", "way", "doubt"),
    [
        ({"counted": 300, "average": 302, "instant": 340}, 300, "counted", ""),
        ({"counted": 300, "average": 500, "instant": 310}, 300, "counted", ""),  # two of three agree
        ({"counted": 0, "average": 300}, 300, "read", "stands still"),
        ({"counted": 0, "instant": 310}, 310, "read", "stands still"),
        ({"counted": 0}, None, "", "stands still, and it tells no power"),
        ({"counted": 150, "average": 300, "instant": 310}, 300, "read", "half the card"),
        ({"counted": 150, "usage": 300}, 300, "read", "half the card"),
        ({"counted": 520, "average": 300, "instant": 310}, 300, "read", "whole module"),
        ({"counted": 220, "average": 300}, 300, "read", "says 220 W"),
        ({"counted": 220, "average": 300, "deviation": 150}, 220, "counted", ""),  # of 20 such readings by chance
        ({"counted": 150, "average": 300, "readings": 4}, 150, "counted", ""),  # too few to say
        ({"integrated": 250, "average": 300}, 250, "integrated", ""),
        ({"average": 300, "instant": 310}, 300, "read", ""),
    ],
)
def test_what_a_card_tells_of_its_power_is_compared(told: dict, watts: float | None, way: str, doubt: str):
    found = power({"readings": 20, "deviation": 0.0} | told, 20.0)
    assert found is not None and (found.watts, found.way) == (watts, way)
    assert doubt in found.doubt and bool(doubt) == bool(found.doubt)


def test_without_any_power_there_is_none():
    assert power({}, 20.0) is None and power({"readings": 0}, 0.0) is None


@pytest.mark.parametrize(
    ("name", "value", "can_be"),
    [
        ("gpu_utilization", 100, True),
        ("gpu_utilization", 101, False),
        ("gpu_utilization", 2**32 - 1, False),
        ("temperature_c", 255, False),
        ("memory_bytes", 2**64 - 1, False),
        ("memory_bytes", 192 << 30, True),
        ("power_mw", 0, False),
        ("power_mw", 1_200_000, True),
        ("energy_mj", 2**64 - 1, False),
        ("energy_mj", 2**33, True),
        ("sm_clock_mhz", 2**32 - 1, False),
        ("throttle_reasons", 2**64 - 1, False),
        ("ecc_uncorrected", 2**32 - 1, False),
    ],
)
def test_what_a_gpu_cannot_have_is_no_value(name: str, value: int, can_be: bool):
    assert plausible.possible(name, value) == can_be


def test_values_that_cannot_be_are_absent_with_the_reason_and_the_rest_is_read():
    code = """
import ctypes, json
from profiling.telemetry import nvml
fake = ctypes.CDLL("libnvidia-ml.so.1")
(card,), _ = nvml.open_cards(["GPU-0a"])
before = set(card.read())
for id in (300, 302, 303, 304, 83, 186, 197): fake.fake_set(0, id, ctypes.c_ulonglong(2**64 - 1))
absent = before - set(card.read())
print(json.dumps([sorted(absent), card.codes, card.error_text(-1)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(PYTHONPATH=str(ROOT)) | cards("GPU-0a"), capture_output=True, text=True, timeout=60
    )  # fmt: skip
    absent, codes, reason = json.loads(done.stdout)
    expected = {
        "gpu_utilization",
        "memory_bytes",
        "temperature_c",
        "sm_clock_mhz",
        "energy_mj",
        "power_mw",
        "pcie_tx_mib",
    }
    assert set(absent) == expected == set(codes) and set(codes.values()) == {plausible.IMPOSSIBLE}
    assert reason == plausible.REASON


def test_a_counter_of_energy_that_steps_back_a_little_counts_nothing_twice():
    sums = counters.Sums()
    told = [sums.add("energy_mj", value) for value in (5 * 10**9, 5 * 10**9 - 3, 5 * 10**9 + 2)]
    assert told == [5 * 10**9, None, 5 * 10**9 + 5]


def _write(folder: Path, *rows: dict) -> Path:
    with ReadingWriter(folder / "readings" / "node0-attempt1.jsonl") as writer:
        writer.write([{"node": 0, "attempt": 1, **row} for row in rows])
    return folder / "readings"


def test_a_gpu_that_is_lost_counts_for_as_long_as_it_was_there(tmp_path: Path):
    rows = [
        {"time_ms": AT + 1000 * s, "rank": rank, "device": f"GPU-{rank}", "rss_bytes": 1}
        | ({"energy_mj": 300_000 * s, "power_average_mw": 300_000} if rank == 0 or s <= 5 else {})
        for s in range(21)
        for rank in (0, 1)
    ]
    sound, lost = usage(_write(tmp_path, *rows))
    assert sound.numbers["power_w"] == lost.numbers["power_w"] == pytest.approx(300)
    assert (sound.lost, lost.lost, lost.powered_s) == (False, True, 5.0)
    assert sound.energised_w == pytest.approx(300) and lost.energised_w == pytest.approx(75)


def test_rates_are_over_the_time_for_which_a_counter_is_known(tmp_path: Path):
    rows = [
        {"time_ms": AT + 1000 * s, "rss_bytes": 1} | ({"network_tx_kib": 1024 * s} if 4 <= s < 9 else {})
        for s in range(21)
    ]
    (node,) = usage(_write(tmp_path, *rows))
    assert node.numbers["network_tx_mib_per_s"] == pytest.approx(1)


def test_the_numbers_of_devices_are_of_one_node_and_uuids_of_one_card(tmp_path: Path):
    rows = [
        {"time_ms": AT + 1000 * s, "node": node, "rank": node, "device": "device 0", "energy_mj": 100_000 * s}
        for s in (0, 10)
        for node in (0, 1)
    ]
    found = usage(_write(tmp_path, *rows))
    assert len({one.card for one in found}) == 2
    assert len({one._replace(held=((1, "GPU-x"),)).card for one in found}) == 1


def _run(folder: Path, seconds: float, read: float, hz: float = 2.0, ended: bool = False) -> RunDir:
    """A finished run of one node that lasted some seconds and was read for some."""
    run = run_of(plan(here=LAPTOP, sample_hz=hz), folder)
    for event, at in (("started", 0.0), ("ended", seconds)):
        append_line(run.events_jsonl, {"event": event, "time": AT / 1000 + at, "attempt": 1, "outcome": "done"})
    rows = [{"time_ms": AT + round(1000 * tick / hz), "host_cpu_ms": 0} for tick in range(round(read * hz) + 1)]
    _write(folder, *rows)
    append_line(run.reading_notes(0), {"event": "began", "attempt": 1, "time": AT / 1000})
    if ended:
        append_line(run.reading_notes(0), {"event": "ended", "attempt": 1, "time": AT / 1000 + read})
    publish_json(run.result_json, {"status": "done", "ranks": 1, "nodes": 1})
    return run


def test_readings_that_end_early_are_said_to_and_where(tmp_path: Path):
    run = _run(tmp_path / "short", 30.0, 8.0)
    assert coverage.gaps(run, 2, 2.0, notes.read(run), coverage.read([run])[0]) == [
        "node 0: readings end 22 s before the run does, of 30 s",
        "not read: node 1",
    ]
    assert "node 0: readings end 22 s before the run does" in summary.run([str(run.path)])


@pytest.mark.parametrize(("read", "ended"), [(29.0, False), (28.0, True)])
def test_readings_that_cover_a_run_are_not_remarked_on(tmp_path: Path, read: float, ended: bool):
    run = _run(tmp_path / "whole", 30.0, read, ended=ended)
    assert coverage.gaps(run, 1, 2.0, notes.read(run), coverage.read([run])[0]) == []


def test_readings_that_are_left_out_in_between_are_counted(tmp_path: Path):
    run = _run(tmp_path / "sparse", 40.0, 40.0, hz=1.0, ended=True)
    assert coverage.gaps(run, 1, 4.0, notes.read(run), coverage.read([run])[0]) == [
        "node 0: 120 of 161 readings are missing"
    ]


def test_a_report_says_which_power_it_did_not_believe_and_ends_with_the_ratio_of_sums(tmp_path: Path):
    folder = make(tmp_path / "study", nodes=(1, 2), repeats=2, seconds=lambda ranks, repeat: float(repeat))
    found = runs.read(folder)
    for run in found.runs:
        read_gpus(run.directory.path, run.ranks, run.steps.span[0] - 1, 60)
    still = found.by_ranks[1][1].directory.readings / "node0-attempt1.jsonl"
    lines = [json.loads(line) | {"energy_mj": 7} for line in still.read_text().splitlines()]
    still.write_text("".join(json.dumps(line) + "\n" for line in lines))
    numbers = resource_usage.of_point(found.by_ranks[1])
    (doubt,) = numbers["doubts"]
    assert doubt.startswith("n1-r2: GPU-0 (node 0, rank 0): its energy counter stands still")
    spent = [float(run.steps.lengths.sum()) for run in found.by_ranks[1]]
    made = sum(run.steps.examples * len(run.steps.number) for run in found.by_ranks[1])
    assert numbers["energy_per_example_j"] == pytest.approx(200 * sum(spent) / made)
    assert resource_usage.of_point(found.by_ranks[2])["power_w"] == pytest.approx(400)


def test_instances_have_the_power_of_their_card_and_that_is_said(tmp_path: Path):
    run = run_of(plan(here=LAPTOP, sample_hz=1.0), tmp_path / "mig")
    rows = []
    for s in range(21):
        now = {"time_ms": AT + 1000 * s}
        rows += [
            now | {"rank": rank, "device": f"MIG-{rank}", "memory_bytes": 2**30, "sm_activity": 100} for rank in (0, 1)
        ]
        rows += [
            now | {"device": "GPU-a", "memory_bytes": 2**36, "energy_mj": 300_000 * s, "power_average_mw": 300_000}
        ]
    _write(run.path, *rows)
    held = [{"device": f"MIG-{rank}", "name": "A", "rank": rank} for rank in (0, 1)]
    append_line(run.reading_notes(0), {"event": "began", "attempt": 1, "time": AT / 1000, "gpus": [*held, {"device": "GPU-a", "name": "A", "rank": None}]})  # fmt: skip
    gpus = overview.document(run, overview.state(run))["gpus"]
    assert (gpus["count"], gpus["whole_cards"], gpus["power_of_all_w"]) == (2, 1, pytest.approx(300))
    assert gpus["memory_peak_bytes"]["greatest"]["value"] == 2**30
    assert "instances (MIG)" in gpus["doubts"][0] and "that of the instances" in gpus["doubts"][0]
    assert (gpus["sm_activity"]["of"], gpus["sm_activity"]["mean"]) == (2, pytest.approx(0.1))


def test_a_throughput_that_differs_from_the_launchers_is_explained(tmp_path: Path):
    folder = make(tmp_path / "study", nodes=(1,), repeats=1)
    run = RunDir(folder / "n1-r1")
    said = "is what launch and status show"
    assert said not in summary.run([str(run.path)])
    assert not any("show throughputs" in note for note in runs.notes(runs.read(folder)))
    publish_json(run.result_json, {**(run.result() or {}), "throughput_examples_per_s": 100.0})
    assert said in summary.run([str(run.path)])
    assert any(
        "launch, status and table show throughputs that differ by up to 37%" in note
        for note in runs.notes(runs.read(folder))
    )


HANGS = """
import sys
from profiling.telemetry import sampler
sampler._READ_S = 1.0
sys.exit(sampler.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("lasts", [6, 12])
def test_a_sampler_whose_driver_hangs_ends_with_its_ranks_or_gives_way_to_one_without_gpus(tmp_path: Path, lasts: int):
    run = run_of(plan(here=LAPTOP), tmp_path / "run")
    run.readings.mkdir()
    waits = subprocess.Popen(["sleep", str(lasts)])
    ranks = [{"rank": 0, "pid": waits.pid, "gpus": ["GPU-0a"]}]
    code = HANGS if lasts > 6 else HANGS.replace("1.0", "60.0")
    words = [sys.executable, "-c", code, str(run.path), "0", "1", "10", json.dumps(ranks)]
    env = environment(PYTHONPATH=str(ROOT)) | cards("GPU-0a") | {"FAKE_NVML_HANGS": "2.2"}
    # The pipe ends when the sampler and whatever came in its place have ended.
    sampler = subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    waits.wait()
    assert sampler.stdout is not None
    sampler.stdout.read()
    assert sampler.wait(30) == 1
    (hang,) = notes.read(run).hangs
    assert hang[:3] == (0, 1, "GPU-0a")
    begun = [line for line in read_lines(run.reading_notes(0)) if line["event"] == "began"]
    assert [len(line["gpus"]) for line in begun] == ([1] if lasts == 6 else [1, 0])
    (rank,) = (one for one in usage(run.readings) if one.rank == 0)
    assert rank.device == "GPU-0a" and (rank.seconds > 5) == (lasts > 6)
    assert coverage.gaps(run, 1, 0.0, notes.read(run), coverage.read([run])[0])[0].startswith(
        "the driver of GPU-0a on node 0 did not"
    )
