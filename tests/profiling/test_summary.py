"""One run on one screen: a made one whose numbers are known, with a rank that falls behind and a GPU that says why."""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from launched import ROOT
from plans import LAPTOP, plan, run_of

from launch.plan.shape import Machine
from launch.plan.target.workload import Target
from launch.record.rundir import RunDir
from launch.record.writing import append_line, publish_json
from profiling.__main__ import main
from profiling.cli import compare, overview, summary, watch
from profiling.study import confidence, step_summary, steps, stragglers
from profiling.telemetry import readings
from profiling.telemetry.reading_lines import ReadingWriter
from profiling.telemetry.records import StepWriter
from profiling.telemetry.usage import Span, usage, usages

BEGAN, STEP_S, WAIT_S, RANKS, STEPS = 1_763_900_000.0, 0.1, 0.01, 4, 200
LATE_FROM, LATE_S = 121, 0.03  # rank 2 of node 1


def made(path: Path, slow: float = 1.0, why: str = "clocks", read: bool = True) -> RunDir:
    """A finished run of 2 nodes x 2 ranks whose rank 2 is late from a step on."""
    planned = plan(here=LAPTOP, target=Target("script", "/home/u/train.py"), machine=Machine(8, 0), nodes=2,
                   ranks_per_node=2, gpus_per_node=2)  # fmt: skip
    run = run_of(planned, path)
    publish_json(run.training_json, {"steps": STEPS, "steps_per_epoch": 50, "epochs": 4, "global_batch": 64})
    for event in ("submitted", "started"):
        run.append_event(event, backend="local")
    starts, at = [], [BEGAN] * RANKS
    writers = [StepWriter(run.steps / f"node{rank // 2}.jsonl", rank, 1) for rank in range(RANKS)]
    for step in range(1, STEPS + 1):
        late = LATE_S if step >= LATE_FROM else 0.0
        length = slow * (STEP_S + late + 0.001 * (step % 5))
        for rank, writer in enumerate(writers):
            noise = 0.001 * ((7 * step + 3 * rank) % 5)
            waits = WAIT_S + (late if rank == 2 and why == "input" else 0.0)
            own = slow * (0.08 + noise + (late if rank == 2 else 0.0))
            writer.write(epoch=(step - 1) // 50, step=step, start=at[rank], seconds=length, input_seconds=waits * slow, own_seconds=own,
                         examples=16, loss=1.0, learning_rate=0.1, traced=step in (50, 51), compiled=step == 1)  # fmt: skip
            writer.flush()  # as ranks that share a file do now and then
        starts.append(at[0])
        at = [time + length for time in at]
    for writer in writers:
        writer.close()
    if read:
        for node in (0, 1):
            with ReadingWriter(run.node_readings(node, 1)) as writer:
                writer.write(list(_readings(node, at[0], why, starts[LATE_FROM - 1])))
    run.append_event("ended", outcome="done", status=0, attempt=1)
    publish_json(run.result_json, {"status": "done", "ranks": RANKS, "nodes": 2, "attempts": 1})
    return run


def _readings(node: int, end: float, why: str, late: float):
    for second in range(-5, int(end - BEGAN) + 5):
        now = {"time_ms": round((BEGAN + second) * 1000), "node": node, "attempt": 1}
        held = why == "clocks" and BEGAN + second >= late
        for rank in (2 * node, 2 * node + 1):
            slow = held and rank == 2
            yield now | {
                "rank": rank, "device": f"GPU-{rank}", "gpu_utilization": 90 + rank, "power_average_mw": 300_000, "memory_bytes": 8 << 30,
                "energy_mj": 10**9 + 300_000 * second, "sm_clock_mhz": 1000 if slow else 1400, "throttle_reasons": 4 if slow else 1,
                "throttled_power_ms": round(1000 * max(0.0, BEGAN + second - late)) if slow else 0, "temperature_c": 60 + rank,
                "cpu_ms": 1500 * second + 10**6, "rss_bytes": (2 + rank) << 30,
            }  # fmt: skip
        yield now | {"host_cpu_ms": 4000 * second + 10**7, "sampler_cpu_ms": 5 * second + 100, "sampling_us": 400}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return made(tmp_path_factory.mktemp("runs") / "known")


@pytest.fixture(scope="module")
def document(run: RunDir) -> dict:
    return json.loads(summary.run([str(run.path), "--json"]))


def test_its_steps(document: dict):
    found = document["steps"]
    assert (document["state"], document["nodes"], document["ranks"]) == ("done", 2, 4)
    assert (
        found["timed"] == 177 and sum(found["left_out"].values()) == STEPS - 177
    )  # 1 compiled, 2 traced, a tenth of 197 warm-up
    lengths = [
        STEP_S + 0.001 * (step % 5) + (LATE_S if step >= LATE_FROM else 0)
        for step in [*range(22, 50), *range(52, STEPS + 1)]
    ]
    assert found["median_seconds"] == pytest.approx(float(np.median(lengths)))
    assert found["throughput_examples_per_s"] == pytest.approx(64 * len(lengths) / sum(lengths))
    assert found["input_share"] == pytest.approx(WAIT_S / np.mean(lengths))
    interval = found["median_interval"]
    assert interval["low"] <= found["median_seconds"] <= interval["high"] and found["interval_of_every"] > 1
    assert found["slowest_rank"] == 2 and found["load_balance"] < 0.95


def test_its_gpus_over_the_timed_steps_only(document: dict):
    gpus = document["gpus"]
    assert gpus["count"] == 4 and gpus["energy_is"] == "counted"
    assert gpus["gpu_utilization"]["mean"] == pytest.approx(0.915)
    assert gpus["gpu_utilization"]["least"] == {"value": pytest.approx(0.90), "node": 0, "rank": 0}
    assert gpus["gpu_utilization"]["greatest"]["rank"] == 3
    assert gpus["power_of_all_w"] == pytest.approx(1200)
    assert gpus["joules_per_example"] == pytest.approx(1200 / document["steps"]["throughput_examples_per_s"])
    seconds = gpus["energy_j"]["mean"] / 300
    assert 15 < seconds < 24  # of 33 s that were read, those of the timed steps
    assert gpus["throttled_power_s"]["greatest"]["rank"] == 2 and gpus["throttled_power_s"]["least"]["value"] == 0
    assert document["processes"]["cpu_cores"]["mean"] == pytest.approx(1.5)
    assert document["hosts"]["host_cpu_cores"]["mean"] == pytest.approx(4)
    assert document["recording"]["sampler_cores"]["mean"] == pytest.approx(0.005)
    assert "network_tx_mib_per_s" not in document["hosts"]  # nobody has read it


def test_who_holds_it_up_since_when_by_how_much_and_why(run: RunDir, document: dict):
    (one,) = document["stragglers"]
    assert (one["rank"], one["node"], one["device"]) == (2, 1, "GPU-2")
    assert (one["first_step"], one["last_step"]) == (LATE_FROM, STEPS)
    starts = steps.read(run, RANKS)
    assert one["since"] == pytest.approx(float(starts.start[2, list(starts.number).index(LATE_FROM)]))
    assert one["late_seconds"] == pytest.approx(LATE_S, rel=0.1)
    assert one["slows"] == pytest.approx(LATE_S / (STEP_S + LATE_S + 0.002), rel=0.1)
    assert (
        one["because"][0] == "its GPU runs at 1000 MHz, others at 1400" and "throttled for power" in one["because"][1]
    )


def test_input_explains_a_straggler_whose_gpu_is_well(tmp_path: Path):
    run = made(tmp_path / "input", why="input")
    (one,) = overview.document(run, overview.state(run))["stragglers"]
    assert one["rank"] == 2 and len(one["because"]) == 1 and "longer for its batch" in one["because"][0]


def test_what_nothing_explains_is_said_to_be_so(tmp_path: Path):
    shown = summary.run([str(made(tmp_path / "unread", read=False).path)])
    assert "rank 2 makes the others wait" in shown and "neither input, clocks nor throttling explain it" in shown
    assert "no readings" in shown


def test_without_a_late_rank_nobody_is_named():
    flat = np.tile(0.1 + 0.001 * (np.arange(60) % 7), (8, 1))
    timed = steps.Steps(np.arange(60), flat, flat / 10, flat * 0.8, flat, 8, {}, ())
    assert stragglers.find(RunDir("nowhere"), timed) == []


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 12), st.integers(0, 79), st.integers(15, 80), st.integers(0, 99))
def test_a_late_rank_is_found_wherever_it_is(ranks: int, first: int, number: int, seed: int):
    last = min(first + number, 100)
    generator = np.random.default_rng(seed)
    rank = int(generator.integers(ranks))
    own = 0.08 + 0.001 * generator.random((ranks, 100))
    own[rank, first:last] += 0.02
    length = np.tile(own.max(axis=0) + 0.01, (ranks, 1))
    timed = steps.Steps(np.arange(1, 101), length, own * 0, own, np.cumsum(length, axis=1), 8, {}, ())
    (one,) = stragglers.find(RunDir("nowhere"), timed)
    assert (one.rank, one.first_step, one.last_step) == (rank, first + 1, last)
    assert one.late_seconds == pytest.approx(0.02, abs=0.002)


def test_the_screen(run: RunDir):
    shown = summary.run([str(run.path)])
    assert len(shown.splitlines()) < 40
    for part in ("177 timed", "ms median, 95 %", "examples/s", "rank 2 on node 1 (GPU-2) makes the others wait", "4 GPUs: 1200 W together",
                 "J per example (energy counted)", "rank 3", "cost 0.50% of a core each"):  # fmt: skip
        assert part in shown, shown


@pytest.mark.parametrize("absent", ["duckdb", "numpy", "duckdb numpy psutil"])
def test_what_can_be_shown_without_a_package_is_and_one_line_names_it(run: RunDir, absent: str):
    code = f"import sys; sys.modules.update(dict.fromkeys({absent.split()})); from profiling.__main__ import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "summary", str(run.path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("run"), done.stderr
    assert ("examples/s" in done.stdout) == ("numpy" not in absent) == ("numpy is not installed" not in done.stdout)
    assert ("W together" in done.stdout) == ("duckdb" not in absent) and "no readings" not in done.stdout
    assert done.stderr.count("\n") == done.stderr.count("duckdb is not installed") == ("duckdb" in absent)
    if absent == "numpy":
        done = subprocess.run([sys.executable, "-c", code, "predict", "x"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2 and "predict needs numpy" in done.stderr and done.stderr.count("\n") == 1


def test_energy_without_a_counter_says_so_and_troubles_are_told(tmp_path: Path):
    run = made(tmp_path / "old", read=False)
    rows = [
        {"time_ms": round((BEGAN + s) * 1000), "node": 0, "attempt": 1, "rank": 0, "device": "GPU-0", "integrated_energy_mj": 100_000 * s,
         "power_usage_mw": 100_000} for s in range(30)
    ]  # fmt: skip
    with ReadingWriter(run.node_readings(0, 1)) as writer:
        writer.write(rows)
    append_line(
        run.reading_notes(0),
        {"event": "code", "device": "GPU-0", "field": "energy_mj", "code": 3, "error": "Not Supported"},
    )
    (run.readings / "errors.log").write_text("Traceback\n")
    shown = summary.run([str(run.path)])
    assert "1 GPU: 100 W together" in shown and "(energy integrated)" in shown
    assert "not read: energy_mj: Not Supported (1 times)" in shown and "a sampler has failed" in shown


def test_counters_are_added_up_over_attempts(tmp_path: Path):
    for attempt, base in ((1, 5_000_000), (2, 100)):
        with ReadingWriter(tmp_path / "readings" / f"node0-attempt{attempt}.jsonl") as writer:
            writer.write([{"time_ms": 10**12 + 10**7 * attempt + 1000 * i, "node": 0, "attempt": attempt, "rank": 0, "cpu_ms": base + 500 * i}
                          for i in range(11)])  # fmt: skip
    (one,) = usage(tmp_path / "readings")
    assert (one.readings, one.seconds) == (22, 20.0) and one.numbers == {"cpu_cores": pytest.approx(0.5)}
    assert usage(tmp_path / "readings", begin=2e9) == [] and usage(tmp_path / "nothing") == []


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 4), st.booleans())
def test_many_runs_are_summed_up_as_their_rows_say(seed: int, number: int, packed: bool):
    generator = random.Random(seed)
    with (
        tempfile.TemporaryDirectory(prefix="it's [1] *?{é} %41 ") as place,
        mock.patch.object(readings, "WORTH_BYTES", 0),
    ):
        spans, written = [], []
        for run in range(number):
            folder, rows = Path(place) / str(run) / "readings", []
            for node, attempt in ((0, 1), (0, 2), (1, 1)):
                some = [
                    _row(generator, node, attempt, tick) for tick in range(generator.randint(1, 9)) for _ in range(3)
                ]
                lines = folder.parent / "readings" / f"node{node}-attempt{attempt}.jsonl"
                folder.mkdir(parents=True, exist_ok=True)
                lines.write_text("".join(json.dumps(row) + "\n" for row in some))
                if packed and generator.random() < 0.5:
                    readings.compact(lines)
                rows += some
            spans.append(Span(folder, *sorted(generator.sample(range(1000, 1010), 2))))
            written.append([row for row in rows if spans[-1].begin <= row["time_ms"] / 1000 <= spans[-1].end])
        for found, rows in zip(usages(spans), written, strict=True):
            assert {(one.node, one.rank) for one in found} == {(row["node"], row.get("rank")) for row in rows}
            for one in found:
                own = [row for row in rows if (row["node"], row.get("rank")) == (one.node, one.rank)]
                attempts = [
                    [row for row in own if row["attempt"] == attempt] for attempt in {row["attempt"] for row in own}
                ]
                told = sum(max(row["cpu_ms"] for row in each) - min(row["cpu_ms"] for row in each) for each in attempts)
                assert one.readings == len(own)
                assert one.seconds == pytest.approx(
                    sum((each[-1]["time_ms"] - each[0]["time_ms"]) / 1000 for each in attempts)
                )
                assert one.numbers["rss_peak_bytes"] == max(row["rss_bytes"] for row in own)
                assert one.numbers["gpu_utilization"] == pytest.approx(
                    np.mean([row["gpu_utilization"] for row in own]) / 100
                )
                assert one.numbers.get("cpu_cores", 0) == pytest.approx(told / 1000 / one.seconds if one.seconds else 0)


def _row(generator: random.Random, node: int, attempt: int, tick: int) -> dict:
    row = {"time_ms": 1000 * (1000 + tick), "node": node, "attempt": attempt, "gpu_utilization": generator.randint(0, 100),
           "rss_bytes": generator.randint(0, 2**40), "cpu_ms": 10**6 * attempt + 100 * tick + generator.randint(0, 99)}  # fmt: skip
    rank = generator.choice([None, 2 * node, 2 * node + 1])
    return row if rank is None else row | {"rank": rank, "device": f"GPU-{rank}"}


def test_compare(tmp_path: Path, run: RunDir):
    slower = made(tmp_path / "slower", slow=1.25)
    made_ = json.loads(compare.run([str(run.path), str(slower.path), "--json"]))
    rows = {row["what"]: row for row in made_["rows"]}
    step = rows["step, median"]
    assert (
        step["ratio"] == pytest.approx(1.25) and step["ratio_interval"]["low"] < 1.25 < step["ratio_interval"]["high"]
    )
    assert rows["throughput"]["ratio"] == pytest.approx(0.8)
    assert rows["GPU power, each"]["ratio"] == pytest.approx(1)
    shown = compare.run([str(run.path), str(slower.path)])
    assert "second / first" in shown and "1.250" in shown and "takes repeats" in shown


@settings(deadline=None, max_examples=25)
@given(st.floats(0.5, 2), st.floats(0.01, 0.3))
def test_the_interval_of_a_ratio_turns_round_with_it(ratio: float, width: float):
    def one(median: float) -> dict:
        return {
            "median_seconds": median,
            "median_interval": {"low": median / (1 + width), "high": median * (1 + width)},
        }

    there, back = compare.step_ratio(one(0.1), one(0.1 * ratio)), compare.step_ratio(one(0.1 * ratio), one(0.1))
    assert there.low < ratio < there.high
    assert there.low == pytest.approx(1 / back.high) and there.high == pytest.approx(1 / back.low)


def test_an_interval_of_steps_that_resemble_their_neighbours_is_wide_enough():
    generator = np.random.default_rng(1)
    covered = {"as they are": 0, "apart": 0}
    for _ in range(200):
        noise = generator.normal(size=600)
        for i in range(1, 600):
            noise[i] += 0.9 * noise[i - 1]
        lengths = np.exp(0.05 * noise)  # median 1
        interval, every = step_summary.median_interval(lengths)
        covered["apart"] += interval.low <= 1 <= interval.high
        plain = confidence.median(tuple(lengths))
        covered["as they are"] += plain.low <= 1 <= plain.high
        assert every > 5
    assert covered["apart"] >= 180 > 140 > covered["as they are"]


def test_watch_looks_once_at_a_run_that_has_ended(run: RunDir):
    shown = watch.run([str(run.path)])
    for part in (
        "done, 2 nodes, 4 ranks",
        "step 200/200",
        "examples/s",
        "rank 2 takes",
        "GPU ",
        "1200 W together",
        "read ",
    ):
        assert part in shown, shown


@pytest.mark.parametrize(
    "words",
    [["summary"], ["summary", "{run}", "{run}"], ["compare", "{run}"], ["watch", "/nowhere"], ["summary", "/nowhere"]],
)
def test_bad_words_are_refused_in_a_line(capsys: pytest.CaptureFixture, run: RunDir, words: list[str]):
    assert main([word.format(run=run.path) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1


def test_none_of_it_imports_a_framework(run: RunDir):
    code = (
        "import sys\nfrom profiling.__main__ import main\n"
        f"for words in (['summary', {str(run.path)!r}], ['compare', {str(run.path)!r}, {str(run.path)!r}], ['watch', '--once', {str(run.path)!r}]):\n"
        "    assert main(words) == 0\n"
        "print(sorted({'tensorflow', 'keras', 'horovod', 'pandas', 'pynvml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_card_with_instances_has_the_power_and_they_have_the_memory(tmp_path: Path):
    now = {"time_ms": 10**12, "node": 0, "attempt": 1}
    later = now | {"time_ms": 10**12 + 10_000}
    with ReadingWriter(tmp_path / "readings" / "node0-attempt1.jsonl") as writer:
        for at in (now, later):
            writer.write([at | {"rank": 0, "device": "MIG-0a/1", "memory_bytes": 2**30}, at | {"host_cpu_ms": 0}])
            writer.write([at | {"device": "GPU-0a", "energy_mj": at["time_ms"] * 200, "gpu_utilization": 50}])
    instance, card, node = usage(tmp_path / "readings")
    assert (instance.rank, instance.device, instance.numbers) == (0, "MIG-0a/1", {"memory_peak_bytes": 2**30})
    assert (card.rank, card.device) == (None, "GPU-0a")
    assert card.numbers == {"gpu_utilization": 0.5, "energy_j": pytest.approx(2000), "power_w": pytest.approx(200)}
    assert (node.rank, node.device, node.numbers) == (None, None, {"host_cpu_cores": 0})
