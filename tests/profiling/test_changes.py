"""Two studies point by point: what became slower, how sure that is, and the exit status of a nightly comparison."""

import json
from pathlib import Path

import numpy as np
import pytest
import studies

from profiling.__main__ import main
from profiling.cli import compare
from profiling.cli import report as reporting
from profiling.study import changes, runs

NODES = (1, 2, 4)


def made(folder: Path, seed: int, slow: float = 1.0, nodes=NODES, repeats: int = 3, axis=None) -> Path:
    """A study whose runs differ by 1 %, on four nodes and more slower by a factor."""
    draw = np.random.default_rng(seed)

    def seconds(ranks: int, repeat: int) -> float:
        return 0.05 * ranks**0.1 * float(np.exp(0.01 * draw.normal())) * (slow if ranks >= 4 else 1)

    return studies.make(folder, nodes=nodes, repeats=repeats, seconds=seconds, axis=axis)


@pytest.fixture(scope="module")
def monday(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("first") / "monday", 9)


@pytest.fixture(scope="module")
def tuesday(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("second") / "tuesday", 2, slow=1.12)


def test_the_point_that_became_slower_is_named_with_an_interval_for_all(monday: Path, tuesday: Path):
    found = changes.between(runs.read(monday), runs.read(tuesday))
    assert [(point.workers, point.verdict) for point in found.points] == [
        (1, "no change seen"), (2, "no change seen"), (4, "slower")
    ]  # fmt: skip
    last = found.points[-1]
    assert last.interval is not None and last.interval.low < 1 / 1.12 < last.interval.high < 1
    assert found.degrees == 12  # two of each of six samples
    assert "slower than monday: 4 ranks by" in changes.lines(found)[0]
    back = changes.between(runs.read(tuesday), runs.read(monday)).points[-1]
    assert back.verdict == "faster" and back.interval.low == pytest.approx(1 / last.interval.high)


@pytest.mark.parametrize(("part", "status"), [("5%", 1), ("0.05", 1), ("20%", 0)])
def test_the_exit_status_is_for_nightly_runs(capsys, monday: Path, tuesday: Path, part: str, status: int):
    assert main(["compare", str(monday), str(tuesday), "--fail-if-slower", part]) == status
    assert ("FAILED: slower by 5 % or more: 1 point" in capsys.readouterr().out) == (status == 1)
    assert main(["compare", str(tuesday), str(monday), "--fail-if-slower", part]) == 0


def test_a_point_without_a_run_fails_and_is_named(capsys, tmp_path: Path, monday: Path):
    fewer = made(tmp_path / "fewer", 3, nodes=(1, 2, 8))
    assert main(["compare", str(monday), str(fewer), "--fail-if-slower=5%"]) == 1
    out = capsys.readouterr().out
    assert "in monday only: 4 ranks" in out and "in fewer only: 8 ranks" in out
    assert "FAILED: without a run to compare: 1 point" in out


def test_single_runs_are_compared_by_how_much_the_others_differ(capsys, tmp_path: Path, monday: Path):
    once = made(tmp_path / "once", 4, slow=1.12, repeats=1)
    found = changes.between(runs.read(monday), runs.read(once))
    assert found.degrees == 6 and [point.verdict for point in found.points][-1] == "slower"
    # Without any repeats it is not known, and what looks slower fails all the same.
    other = made(tmp_path / "other", 5, repeats=1)
    assert main(["compare", str(other), str(once), "--fail-if-slower=5%"]) == 1
    assert "unknown at 1 rank, 2 ranks, 4 ranks" in capsys.readouterr().out


def test_the_intervals_of_studies_without_a_change_hold_together(tmp_path: Path):
    """Of studies in which nothing changed, one in twenty may show a change at any of its points."""
    draw = np.random.default_rng(6)
    shown = 0
    for _ in range(400):
        samples = [100 * np.exp(0.02 * draw.normal(size=3)) for _ in range(8)]
        scatter = changes.variance.scatter([np.log(sample) for sample in samples])
        intervals = [
            changes.confidence.student_ratio(
                tuple(samples[at + 1]), tuple(samples[at]), 1 - 0.05 / 4, (scatter.of(at + 1), scatter.of(at))
            )
            for at in range(0, 8, 2)
        ]
        shown += any(not interval.low <= 1 <= interval.high for interval in intervals)
    assert shown / 400 < 0.085  # 0.05 and three standard errors


def test_the_points_of_sweeps_are_compared_by_their_values(tmp_path: Path):
    first = made(tmp_path / "first", 7, axis=("width", ("8", "16")))
    second = made(tmp_path / "second", 8, axis=("width", ("16", "32")))
    found = changes.between(runs.read(first), runs.read(second))
    assert {(point.series, point.workers) for point in found.points} == {("width=16", n) for n in NODES}
    assert set(found.only[0]) == {("width=8", n) for n in NODES}


def test_a_report_says_what_changed_since_another_study(monday: Path, tuesday: Path):
    content = json.loads(reporting.run([str(tuesday), "--against", str(monday), "--json"]))
    assert [point["verdict"] for point in content["against"]["points"]][-1] == "slower"
    assert any(line.startswith("against monday: slower than monday: 4 ranks") for line in content["notes"])
    document = json.loads(compare.run([str(monday), str(tuesday), "--json", "--fail-if-slower=5%"]))
    assert document["points"] == content["against"]["points"] and len(document["failed"]) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "{study}", "{run}"],
        ["compare", "{run}", "{run}", "--fail-if-slower=5%"],
        ["compare", "{study}", "{study}", "--fail-if-slower=much"],
        ["compare", "{study}", "{study}", "--fail-if-slower=0"],
        ["compare", "{study}", "{study}", "--fail-if-slower=120%"],
        ["report", "{study}", "--against", "/nowhere"],
    ],
)
def test_bad_words_are_refused_in_a_line(capsys, monday: Path, words: list[str]):
    assert main([word.format(study=monday, run=monday / "n1-r1") for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err


def test_a_history_of_studies_compares_each_with_the_first(tmp_path, capsys):
    speed = {"a": 1.0, "b": 1.0, "c": 1.25}
    for name, factor in speed.items():
        studies.make(tmp_path / name, seconds=lambda ranks, repeat, by=factor: by * 0.05 * (1 + 0.002 * repeat))
    words = ["compare", *(str(tmp_path / name) for name in speed)]
    assert main([*words, "--out", str(tmp_path / "drawn"), "--fail-if-slower", "5%"]) == 1
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("4 ranks"))
    assert row.split() == ["4", "ranks", "1.000", "0.800", "slower"]
    assert "all 6 intervals hold together" in out and "FAILED: slower by 5 % or more: 3 points" in out
    drawn = (tmp_path / "drawn" / "history.svg").read_text()
    assert "4 ranks, c: 0.800 of a, slower" in drawn
    assert main([*words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [one["second"] for one in content["studies"]] == ["b", "c"] and content["second"] == "c"


def test_a_report_fails_where_it_became_slower(tmp_path, capsys):
    before = studies.make(tmp_path / "before", seconds=lambda ranks, repeat: 0.05 * (1 + 0.002 * repeat))
    after = studies.make(tmp_path / "after", seconds=lambda ranks, repeat: 0.06 * (1 + 0.002 * repeat))
    words = ["report", str(after), "--against", str(before), "--json", "--fail-if-slower"]
    assert main([*words, "10%"]) == 1
    assert json.loads(capsys.readouterr().out)["against"]["failed"] == ["slower by 10 % or more: 3 points"]
    assert main([*words, "20%"]) == 0
    assert main(["report", str(after), "--fail-if-slower", "5%"]) == 2
    assert "--against" in capsys.readouterr().err


def without_results(folder: Path, *nodes: int) -> Path:
    """A study whose runs on these numbers of nodes have no result."""
    for path in (path for n in nodes for path in folder.glob(f"n{n}-r*/result.json")):
        path.unlink()
    return folder


def test_a_night_without_a_run_leaves_its_column_empty(tmp_path, capsys):
    base, *others = (made(tmp_path / name, 3, slow=1.12 if name == "slow" else 1.0) for name in ("a", "b", "c", "slow"))
    without_results(others[0], *NODES)
    without_results(base, 2)
    without_results(others[1], 1, 4)  # it has no point in common with the first
    words = ["compare", *map(str, (base, *others)), "--fail-if-slower", "5%"]
    assert main([*words, "--out", str(tmp_path / "drawn")]) == 1
    out = capsys.readouterr().out
    assert f"b is not compared with a: no run of {others[0]} can be timed" in out
    assert f"c is not compared with a: {base} and {others[1]} have no point in common" in out
    assert next(line for line in out.splitlines() if line.startswith("4 ranks")).split()[3] == "slower"
    assert "all 2 intervals hold together" in out and "FAILED: slower by 5 % or more: 1 point" in out
    assert main([*words, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["studies"]
    assert [len(one["points"]) for one in found] == [0, 0, 2]
    assert [one["not_compared"] is None for one in found] == [False, False, True]


def test_a_last_study_without_a_run_fails_where_it_may_not_be_slower(tmp_path, capsys, monday: Path, tuesday: Path):
    broken = without_results(made(tmp_path / "broken", 3), *NODES)
    for before in ([monday], [monday, tuesday]):
        assert main(["compare", *map(str, before), str(broken), "--fail-if-slower=5%"]) == 1
        out = capsys.readouterr().out
        assert "broken is not compared with monday: no run of" in out
        assert "FAILED: without a run to compare: 3 points" in out
    assert main(["compare", str(monday), str(broken)]) == 2
    assert main(["compare", str(broken), str(monday), "--fail-if-slower=5%"]) == 2  # nothing to compare with


def test_intervals_that_are_not_there_hold_nothing_together(tmp_path):
    one, other = (runs.read(made(tmp_path / name, 5, repeats=1)) for name in ("one", "other"))
    assert not any("hold" in line for line in changes.lines(changes.between(one, other)))
    # One point has repeats, which differ so that those of the other are not known: its interval stands by itself.
    for name, spread in (("first", 0.002), ("second", 0.2)):
        folder = studies.make(tmp_path / name, (1, 2), 3, lambda ranks, repeat, by=spread: 0.05 * (1 + by * repeat))
        for repeat in (2, 3):
            (folder / f"n2-r{repeat}" / "result.json").unlink()
    found = changes.between(*(runs.read(tmp_path / name) for name in ("first", "second")))
    assert [point.interval is None for point in found.points] == [False, True] and found.together == 1
    assert any(line.startswith("the interval holds with 95% confidence;") for line in changes.lines(found))
