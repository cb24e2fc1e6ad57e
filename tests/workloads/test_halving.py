"""Runs of a study that end early because others are better."""

from pathlib import Path

import pytest
import ranks
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal
from launch.plan.sweep import Axes
from launch.record.files import read_json
from launch.record.rundir import RunDir
from launch.record.study import INDEX
from launch.record.writing import publish_json
from launch.submit.study import planning
from profiling.reporting import sweep_table
from profiling.study import sweep
from workloads.training.halving import Halving, rungs

RATES = "1e-6", "0.02"  # a bad learning rate and a good one


def study(folder: Path, count: int) -> list[RunDir]:
    """A study of so many runs."""
    folder.mkdir()
    names = [f"n1-lr{number}-r1" for number in range(count)]
    entries = [
        {"run": name, "nodes": 1, "values": {"lr": str(number)}, "repeat": 1} for number, name in enumerate(names)
    ]
    publish_json(folder / INDEX, {"runs": entries})
    runs = [RunDir(folder / name) for name in names]
    for run in runs:
        run.create()
    return runs


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=9), st.sampled_from(["<=", ">="]))
def test_the_best_run_is_never_ended_and_at_most_its_part_goes_on(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], relation: str
):
    runs = study(tmp_path_factory.mktemp("h") / "s", len(values))
    gone_on = []
    for place, (run, value) in enumerate(zip(runs, values), 1):
        halving = Halving("1", 30, 10, ("rms", relation, 0.0), run)
        rung, metrics = halving.at(10), {"rms": value}
        assert rung and rung.going_on == pytest.approx(1 / 3) and halving.at(9) is None
        verdict = halving.verdict(rung, metrics)
        assert (verdict.of, verdict.best) == (place, max(1, place // 3))
        run.append_event("evaluated", until=rung.epochs, metrics={"rms": 1e9})  # by an attempt that was lost
        run.append_event("evaluated", until=rung.epochs, metrics=metrics)
        if verdict.goes_on:
            gone_on.append(value)
        assert str(verdict.place) in halving.text(rung, verdict, metrics)
    numbers = [value for value in values if value == value]
    if numbers:
        assert (min if relation == "<=" else max)(numbers) in gone_on


def test_the_order_of_the_points_is_mixed_for_fair_comparisons():
    axes = Axes(steps=({"nodes": ("1",)}, {"lr": tuple(str(number) for number in range(20))}))
    plain, mixed = (planning.points(axes, 2, mixed) for mixed in (False, True))
    assert plain != mixed and sorted(plain) == sorted(mixed) and mixed == planning.points(axes, 2, True)
    assert {point.repeat for point in mixed[:20]} == {1}, "all points are made once before any is repeated"


@pytest.mark.parametrize("text", ["0,1", "3,1", "1,10", "a", "1,,2", "nan", "inf", "-1"])
def test_rungs_that_cannot_be(text: str):
    with pytest.raises(Refusal, match="--until"):
        rungs(text, 10)


@pytest.fixture(scope="module", params=ranks.SLOW_ON_JAX)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trainings of 4 epochs on two ranks; three other runs were better than the first after 1 epoch."""
    folder = tmp_path_factory.mktemp("halving") / "s"
    runs = study(folder, 5)
    for run in runs[2:]:
        run.append_event("evaluated", until=1.0, metrics={"rms": 0.7})
    for run, rate in zip(runs[:2], RATES):
        train(run, rate, request.param)
    return folder


def train(run: RunDir, rate: str, engine: str) -> None:
    words = ("--epochs=4", "--until=1,2", "--examples=256", "--batch=16", f"--lr={rate}", "--lr-scaling=none")
    started = ranks.train(2, run.path, *words, engine=engine)
    assert started.wait() == [0, 0], started.output()


def test_a_run_ends_if_others_are_better_and_has_a_result(trained: Path):
    bad, good = (RunDir(trained / f"n1-lr{number}-r1") for number in range(2))
    result = bad.result() or {}
    assert result["ended_early"] == {"epochs": 1, "place": 4, "of": 4, "best": 2}
    assert (result["epochs"], result["steps"]) == (1, 8) and result["metrics"]["rms"] > 0.7
    assert [event["step"] for event in bad.events("checkpointed")] == [8]
    assert [event["step"] for event in bad.events("evaluated")] == [8]
    assert [event.get("until") for event in good.events("evaluated")] == [1, 2, None, None]
    assert (good.result() or {})["epochs"] == 4 and "ended_early" not in (good.result() or {})


def test_an_attempt_that_was_lost_after_the_comparison_compares_again(trained: Path):
    run = RunDir(trained / "n1-lr0-r1")
    before = read_json(run.result_json)
    run.result_json.unlink()
    train(run, RATES[0], (run.training() or {})["plan"]["engine"].split()[0])
    after = read_json(run.result_json)
    assert (after["steps"], after["metrics"]) == (8, before["metrics"])
    assert after["ended_early"] == {"epochs": 1, "place": 5, "of": 5, "best": 2}, "who has come meanwhile counts"


def test_the_table_says_what_was_saved(trained: Path):
    content = sweep_table.document(sweep.read(trained, lambda paths: ["not run"] * len(paths)), "rms")
    assert content["ended_early"] == {"runs": 1, "after_epochs": {1.0: 1}, "epochs_trained": 5, "epochs_asked": 8}
    assert any(note.startswith("--until:") and "38% are saved" in note for note in sweep_table.notes(content))
