"""Which runs and steps of a study are timed; and each kind of bad record, told in one line, never a wrong number."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest
import studies
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal
from launch.record.rundir import RunDir
from launch.record.writing import publish_json
from profiling.cli import inputs, summary
from profiling.reporting import about
from profiling.study import runs, steps, traces_by_point
from profiling.telemetry import readings


@pytest.fixture
def study(tmp_path):
    return studies.make(tmp_path / "study")


def rates(folder):
    return {run.name: run.throughput for run in runs.read(folder).runs}


def series(folder, name=None):
    return inputs.series(folder, name)[0]


def notes(folder):
    return list(series(folder).notes)


def test_a_run_is_its_timed_steps_over_their_time(study):
    found = runs.read(study).runs
    assert len(found) == 18
    for run in found:
        seconds = 0.05 * run.ranks**0.1 * (1 + 0.002 * run.repeat)
        assert run.throughput == pytest.approx(8 * run.ranks / seconds)
        assert run.steps.seconds.shape == (run.ranks, 17) and run.steps.number[0] == 4
        assert run.steps.left_out == {"compiled within": 1, "warm-up (first 10% of a run)": 2}
    said = notes(study)
    assert said[0].startswith("306 steps of 18 runs are timed") and "54 are left out: 18 compiled within" in said[0]
    assert [line for line in said[1:] if "outnumber" not in line] == []  # as they may on the machine of the tests


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_records_does_not_matter(tmp_path_factory, shuffle: random.Random):
    run = studies.run(tmp_path_factory.mktemp("order") / "run", 2, 16, 0.05)
    before = steps.read(run, 2)
    for path in run.steps.iterdir():
        lines = path.read_text().splitlines(keepends=True)
        shuffle.shuffle(lines)
        path.write_text("".join(lines))
    after = steps.read(run, 2)
    assert (after.seconds == before.seconds).all() and (after.number == before.number).all()
    assert after.left_out == before.left_out and after.doubts == before.doubts == ()


def test_of_a_step_made_again_the_last_attempt_counts(study):
    path = study / "n1-r1" / "steps" / "node0.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    with open(path, "a") as file:
        for line in lines[14:]:
            later = {"attempt": 2, "seconds": 0.1, "start": line["start"] + 60, "compiled": line["step"] == 15}
            file.write(json.dumps(line | later) + "\n")
    run = next(run for run in runs.read(study).runs if run.name == "n1-r1")
    assert run.steps.left_out["compiled within"] == 2 and len(run.steps.number) == 16
    assert run.throughput == pytest.approx(8 * 16 / (11 * 0.0501 + 5 * 0.1))


def test_a_study_without_runs_and_one_without_results_are_refused(study):
    for path in study.glob("n*/result.json"):
        path.unlink()
    with pytest.raises(Refusal, match="no run of .* can be timed .*resume"):
        runs.read(study)
    studies.change_json(study / "study.json", runs=[])
    with pytest.raises(Refusal, match="is a study without runs"):
        runs.read(study)
    (study / "study.json").write_text('{"runs": [')
    with pytest.raises(Refusal, match="is damaged"):
        runs.read(study)


def test_one_point_is_refused(tmp_path):
    folder = studies.make(tmp_path / "study", nodes=(2,))
    with pytest.raises(Refusal, match=r"one point only \(2 workers\)"):
        series(folder)


def test_a_run_that_died_and_a_repeat_that_is_missing_are_named(study):
    run = RunDir(study / "n4-r3")
    run.result_json.unlink()
    studies.change(run.events_jsonl, lambda event: event if event["event"] != "ended" else None)
    failure = {"rank": 1, "host": "b", "error": "MemoryError: no room"}
    run.append_event("ended", attempt=1, outcome="failed", status=1, step=0, first_failure=failure)
    shutil.rmtree(study / "n4-r5")
    said = notes(study)
    assert "left out: n4-r3: failed (rank 1 on b: MemoryError: no room)" in said
    shutil.copytree(study / "n1-r1", study / "mine")
    assert "mine is not a part of the study and does not count" in runs.notes(runs.read(study))
    assert any(line.startswith("left out: n4-r5: it is missing: there is no run.json") for line in said)
    assert str(study) not in " ".join(said)  # a report names no folder of the machine
    assert "4 nodes: 4 of 6 repeats are in the table" in said
    assert len(rates(study)) == 16


def test_a_run_whose_traces_are_missing_is_named_without_its_folder(study):
    (study / "n1-r1" / "traces").mkdir()
    _, (note,) = traces_by_point.points(runs.read(study))
    assert note.startswith("traces of n1-r1: ") and str(study) not in note


def test_a_record_that_was_cut_short_is_passed_over_with_its_step(study):
    before = rates(study)
    path = study / "n2-r1" / "steps" / "node1.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:9], lines[9][:40], *lines[10:], '{"rank":1}']))
    run = next(run for run in runs.read(study).runs if run.name == "n2-r1")
    assert run.steps.doubts == ("2 lines of its records are cut short or damaged and are passed over",)
    assert run.steps.left_out["not recorded by every rank"] == 1 and 10 not in run.steps.number
    assert rates(study) == pytest.approx(before)
    assert "n2-r1: 2 lines of its records are cut short or damaged and are passed over" in notes(study)


def test_a_line_of_another_shape_is_passed_over(tmp_path):
    run = studies.run(tmp_path / "run", 2, 16, 0.05)
    path = run.steps / "node1.jsonl"
    whole = path.read_text()
    for odd in ("null", "[1]", '{"rank": 1}', f"1{'0' * 400}", "[" * 100_000):
        path.write_text(f"{whole}{odd}\n")
        timed = steps.read(run, 2)
        assert len(timed.doubts) == 1 and len(timed.number) == 17
    for key in ("rank", "step", "start", "examples"):
        for value in (float("nan"), float("inf"), 10**400, -1, "x", *([None] if key in ("step", "start") else [])):
            path.write_text(whole)
            studies.change(path, lambda line: line | {key: value} if line["step"] == 15 else line)  # noqa: B023
            timed = steps.read(run, 2)
            assert len(timed.doubts) == 1 and 15 not in timed.number


def test_a_record_need_not_say_that_it_was_neither_compiled_nor_traced(tmp_path):
    run = studies.run(tmp_path / "run", 2, 16, 0.05)
    for path in run.steps.iterdir():
        studies.change(path, lambda line: {key: line[key] for key in line if key not in ("compiled", "traced")})
    assert len(steps.read(run, 2).number) == 18 and not steps.read(run, 2).doubts


@pytest.mark.parametrize("seconds", [0.0, -0.05, float("nan"), float("inf")])
def test_a_step_of_impossible_length_is_left_out(study, seconds):
    before = rates(study)
    studies.change(
        study / "n2-r2" / "steps" / "node0.jsonl",
        lambda line: line | {"seconds": seconds} if line["step"] in (7, 8) else line,
    )
    run = next(run for run in runs.read(study).runs if run.name == "n2-r2")
    (count,) = (count for reason, count in run.steps.left_out.items() if "impossible length" in reason)
    assert count == 2 and rates(study) == pytest.approx(before)
    assert "of impossible length" in notes(study)[0]


def test_a_run_whose_every_step_has_no_length_is_left_out(study):
    run = RunDir(study / "n1-r2")
    studies.change(run.steps / "node0.jsonl", lambda line: line | {"seconds": 0.0})
    why = "of its 20 steps none is left to time: train for longer"
    assert f"left out: n1-r2: {why}" in notes(study)
    assert f"none timed: {why}" in summary.run([str(run.path)])


def test_readings_that_are_damaged_are_left_out_by_name(study):
    for repeat in (1, 2):
        studies.read_gpus(study / f"n1-r{repeat}", 1, 1.7e9 + 100 * repeat, 30)
    run = RunDir(study / "n1-r1")
    (run.readings / "node7-attempt1.parquet").write_bytes(b"PAR1, and no more")
    said = "readings/node7-attempt1.parquet is damaged and left out"
    assert f"n1-r1: {said}" in notes(study)
    shown = summary.run([str(run.path)])
    assert f"not read: {said}" in shown and "200 W together" in shown


def test_readings_that_are_damaged_in_their_middle_are_refused_by_name(study):
    studies.read_gpus(study / "n1-r1", 1, 1.7e9 + 100, 1200)
    lines = next((study / "n1-r1" / "readings").glob("*.jsonl"))
    path = readings.compact(lines)
    assert path.suffix == ".parquet"
    data = bytearray(path.read_bytes())
    # The description of the columns lies before its length and a mark, which are the end.
    description = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    data[description : description + 40] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(Refusal, match=r"readings/node0-attempt1.parquet is damaged \(.+\): move it away"):
        summary.run([str(study / "n1-r1")])


def test_clocks_that_jumped_are_told_and_change_no_number(study):
    before = rates(study)
    studies.change(
        study / "n1-r1" / "steps" / "node0.jsonl",
        lambda line: line | {"start": line["start"] - 3600 * (line["step"] > 9)},
    )
    studies.change(study / "n2-r1" / "steps" / "node1.jsonl", lambda line: line | {"start": line["start"] + 7})
    said = notes(study)
    assert any("n1-r1: the clock of rank 0 went back by 3600 s after step 9: harmless" in line for line in said)
    assert any("n2-r1: the clocks of its ranks are 6.95 s apart" in line for line in said)
    assert rates(study) == before


def test_steps_that_do_not_begin_within_the_run_are_told(study):
    studies.change(study / "n1-r1" / "steps" / "node0.jsonl", lambda line: line | {"start": line["start"] - 1.7e9})
    (said,) = [line for line in notes(study) if "lies outside the run" in line]
    assert "n1-r1" in said and "before it began" in said and "Unix seconds" in said


@pytest.mark.parametrize("examples", [1.5, 0.1])
def test_examples_need_not_be_whole(study, examples: float):
    before = rates(study)
    for path in study.glob("n*/steps/*.jsonl"):
        studies.change(path, lambda line: line | {"examples": examples})
    for path in study.glob("n*-r*"):
        (path / "training.json").unlink()
        studies.change_json(path / "run.json", kind="program")
    found = rates(study)
    assert found.keys() == before.keys() and all(
        rate == pytest.approx(before[name] * examples / 8) for name, rate in found.items()
    )


def _double(run):
    path = run / "steps" / "node0.jsonl"
    studies.change(run / "steps" / "node1.jsonl", lambda line: line | {"rank": 0})
    return path


def _without_a_rank(run):
    (run / "steps" / "node1.jsonl").unlink()


def _a_rank_too_many(run):
    text = (run / "steps" / "node1.jsonl").read_text()
    (run / "steps" / "node2.jsonl").write_text(text.replace('"rank":1', '"rank":2'))


def _two_batches(run):
    edit = lambda line: line | {"examples": 8 + 8 * (line["step"] > 10)}  # noqa: E731
    for path in (run / "steps").iterdir():
        studies.change(path, edit)


def _another_batch(run):
    studies.change_json(run / "training.json", global_batch=32)


def _too_short(run):
    for path in (run / "steps").iterdir():
        studies.change(path, lambda line: line if line["step"] < 3 else None)


def _no_steps(run):
    shutil.rmtree(run / "steps")


def _damaged(run):
    (run / "result.json").write_text('{"status": "do')


def _pipe_of_steps(run):
    (run / "steps" / "node0.jsonl").unlink()
    os.mkfifo(run / "steps" / "node0.jsonl")


def _folder_of_events(run):
    (run / "events.jsonl").unlink()
    (run / "events.jsonl").mkdir()


def _deep(run):
    (run / "env.json").write_text("[" * 100_000)


def _text_for_a_number(run):
    studies.change_json(run / "run.json", nodes="2")


def _steps_beyond_any_number(run):
    studies.change(run / "steps" / "node0.jsonl", lambda line: line | {"rank": 10**400})


def _versions(run):
    studies.change_json(run / "result.json", versions=studies.VERSIONS | {"keras": "3.9.0"})


def _processor(run):
    studies.change_json(run / "env.json", cpu="another processor")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_double, "there are no records of rank 1"),
        (_without_a_rank, "there are no records of rank 1"),
        (_a_rank_too_many, "it has 2 ranks, but there are records of rank 2"),
        (_two_batches, "its steps are not of one batch: 16, 32 examples"),
        (_another_batch, "its steps are of 16 examples, but it was to train with 32"),
        (_too_short, "of its 2 steps none is left to time: train for longer"),
        (_no_steps, "it has no records of steps"),
        (_damaged, "result.json is damaged"),
        (_pipe_of_steps, "node0.jsonl is damaged (a pipe or device, not a file)"),
        (_folder_of_events, "events.jsonl is damaged (a folder, not a file)"),
        (_deep, "env.json is damaged"),
        (_text_for_a_number, "run.json is damaged (nodes = '2'"),
        (_steps_beyond_any_number, "there are no records of rank 0"),
        (_versions, "made with something else than most of the runs: keras 3.9.0, others 3.15.1"),
        (_processor, "made with something else than most of the runs: cpu another processor, others a processor"),
    ],
)
def test_a_run_that_cannot_be_compared_is_left_out_with_one_line(study, harm, said):
    before = rates(study)
    harm(study / "n2-r4")
    found = [note for note in notes(study) if note.startswith("left out: n2-r4: ")]
    assert len(found) == 1 and said in found[0]
    assert rates(study) == {name: rate for name, rate in before.items() if name != "n2-r4"}


def test_two_processes_that_took_themselves_for_one_rank(study):
    path = study / "n2-r4" / "steps" / "node0.jsonl"
    path.write_text(path.read_text() * 2)
    assert any("rank 0 is there twice (step 1 recorded 2 times in attempt 1)" in note for note in notes(study))


def test_weak_and_strong_are_told_apart_by_what_the_runs_did(tmp_path):
    weak = studies.make(tmp_path / "weak", repeats=1)
    strong = studies.make(tmp_path / "strong", repeats=1, batch=lambda ranks: 32)
    assert series(weak).kind == "weak" and series(strong).kind == "strong"
    mixed = studies.make(tmp_path / "mixed", repeats=1, batch=lambda ranks: {1: 8, 2: 16, 4: 16}[ranks])
    with pytest.raises(Refusal, match=r"neither .* n1-r1: 8 on 1 rank; n2-r1: 16 on 2 ranks; n4-r1: 16 on 4 ranks"):
        series(mixed)


def test_axes_make_series_and_seeds_do_not(tmp_path):
    folder = studies.make(tmp_path / "study", repeats=1, axis=("width", ["8", "16"]))
    with pytest.raises(Refusal, match="has 2 series: choose one with --series"):
        series(folder)
    wide = series(folder, "workloads.some_net width=16")
    assert wide.workers == [1, 2, 4] and "3 runs" in wide.notes[0]
    seeds = studies.make(tmp_path / "seeds", repeats=1, axis=("seed", ["0", "1", "2"]))
    assert [len(point.rates) for point in series(seeds).points] == [3, 3, 3]


def test_runs_that_went_on_with_other_code_are_named(tmp_path: Path):
    for name, commit in (("code", "a" * 40), ("code-2", "b" * 40)):
        publish_json(tmp_path / f"{name}.json", {"commit": commit, "snapshot": True})
    for name in ("n1-r1", "n2-r1", "n4-r1"):
        (tmp_path / name).mkdir()
    RunDir(tmp_path / "n2-r1").append_event("code", code="code-2", attempt=2, step=0)
    (tmp_path / "code-2.patch").touch()
    said = about._code(tmp_path, ["n1-r1", "n2-r1", "n4-r1"])["code"]
    assert said == f"commit {'a' * 40}; n2-r1: code-2, commit {'b' * 40}, with changes that are kept in code-2.patch"
    assert about._code(tmp_path, ["n1-r1"])["code"] == f"commit {'a' * 40}"


def test_ranks_that_are_meant_to_work_on_their_own_are_one_line_for_all_runs(study):
    for run in study.glob("n2-*"):
        plan = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(plan | {"kind": "script", "independent": True}))
        studies.change(
            run / "steps" / "node1.jsonl",
            lambda line: line | {"start": line["start"] + 7, "seconds": 2 * line["seconds"]},
        )
    said = [line for line in notes(study) if "on their own" in line]
    runs = sorted(run.name for run in study.glob("n2-*"))
    assert (
        len(said) == 1 and all(name in said[0] for name in runs) and not any("clocks" in line for line in notes(study))
    )
