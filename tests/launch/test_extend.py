"""Studies that grow."""

import json
import os
import shutil
from pathlib import Path

import pytest
from launched import launch
from plans import EIGHT_CORES, LAPTOP, NOON

from launch.cli import extend, resume
from launch.errors import Refusal, SubmissionRefused
from launch.plan import site
from launch.plan.request import Request
from launch.plan.sweep import Axes, from_words
from launch.plan.target import workload
from launch.record.files import read_json
from launch.record.rundir import RunDir
from launch.record.writing import append_line
from launch.submit import order
from launch.submit.order import Order
from launch.submit.study import grow, restore

STEPS = """
import json, os, time
with open(os.environ["LAUNCH_STEPS"], "a") as file:
    for step in range(1, 31):
        line = {"step": step, "start": time.time(), "seconds": 0.1, "examples": 10}
        file.write(json.dumps(line) + "\\n")
"""
PREDICTED = {
    "format": 1, "made": "2026-03-01T12:00:00+00:00", "series": "program.py", "kind": "weak", "unit": "examples/s", "confidence": 0.9,
    "measured": [{"workers": 1}, {"workers": 2}], "predictions": [{"workers": 3, "throughput": 290.0, "low": 280.0, "high": 310.0}],
}  # fmt: skip


def made(
    folder: Path,
    words: tuple[str, ...] = (),
    axes: Axes | None = None,
    here: site.Site = LAPTOP,
    name: str = "tiny",
    **asked: object,
) -> Path:
    """A study that nobody has run."""
    request = Request(runs=folder, name="s", **asked)  # pyright: ignore
    axes = axes or from_words(request.sweep, request.nodes)
    planned = order.plan(Order(asked=request, target=workload.find(name, words), axes=axes), here, EIGHT_CORES, NOON)
    planned.create()
    return folder / "s"


def added(folder: Path, **given: object) -> list[str]:
    return [point.name for point, _ in grow.growth(folder, given).runs]


def test_a_study_whose_script_is_gone_grows_by_its_copy(tmp_path: Path):
    (tmp_path / "program.py").write_text("print(1)")
    words = ("--backend=local", "--sample-hz=0", "--runs", tmp_path, "--name=s", tmp_path / "program.py")
    assert launch("--repeats=2", *words).returncode == 0
    (tmp_path / "program.py").unlink()
    grown = launch("extend", tmp_path / "s", "--repeats=3")
    assert grown.returncode == 0 and "1 of 1 runs are done" in grown.stdout, grown.stdout + grown.stderr
    assert "--code current" not in grown.stdout  # of which nothing is there
    shutil.rmtree(tmp_path / "s" / ".code")
    refused = launch("extend", tmp_path / "s", "--repeats=4")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "--code current" not in refused.stderr


def test_what_is_new_is_run_and_what_was_predicted_of_it_scored(tmp_path: Path):
    (tmp_path / "program.py").write_text(STEPS)
    words = ("--backend=local", "--sample-hz=0", "--runs", tmp_path, "--name=s", tmp_path / "program.py")
    done = launch("--nodes=1,2", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    append_line(tmp_path / "s" / "predictions.jsonl", PREDICTED)
    before = (tmp_path / "s" / "study.json").read_bytes()
    dry = launch("extend", tmp_path / "s", "--nodes=3", "--dry-run")
    assert dry.returncode == 0 and "2 runs, 1 more" in dry.stdout
    assert (tmp_path / "s" / "study.json").read_bytes() == before and not (tmp_path / "s" / "n3-r1").exists()
    grown = launch("extend", tmp_path / "s", "--nodes=3")
    assert grown.returncode == 0, grown.stdout + grown.stderr
    assert "1 of 1 runs are done" in grown.stdout
    row = next(line for line in grown.stdout.splitlines() if line.startswith("2026-03-01 12:00"))
    assert row.split()[4] == "3" and row.split()[5] == "290" and row.split()[-1] == "yes"
    assert [entry["run"] for entry in read_json(tmp_path / "s" / "study.json")["runs"]] == ["n1-r1", "n2-r1", "n3-r1"]
    assert oct(os.stat(tmp_path / "s" / "study.json").st_mode & 0o777) == "0o600"
    again = launch("extend", tmp_path / "s", "--nodes=3")
    assert again.returncode == 2 and "has all of that already" in again.stderr
    same = launch("--nodes=1,2,4", *words)
    assert same.returncode == 2 and "add to it: python -m launch extend" in same.stderr
    for words in (["--repeats", "3"], ["--nodes=4"]):
        with pytest.raises(Refusal, match="extend adds to a study: .* extend s"):
            resume.main(["s", *words])


def test_points_values_and_repeats_are_those_of_the_larger_study(tmp_path: Path):
    folder = made(tmp_path, nodes=(1, 2), sweep=("lr=1e-3,1e-2",), repeats=2)
    assert added(folder, repeats=3) == ["n1-lr1e-3-r3", "n1-lr1e-2-r3", "n2-lr1e-3-r3", "n2-lr1e-2-r3"]
    assert added(folder, nodes=(2, 4)) == ["n4-lr1e-3-r1", "n4-lr1e-2-r1", "n4-lr1e-3-r2", "n4-lr1e-2-r2"]
    assert len(added(folder, nodes=(4,), sweep=("lr=1e-4",), repeats=6)) == 3 * 3 * 6 - 8
    (_, plan), *_ = grow.growth(folder, {"sweep": ("lr=1e-4",)}).runs
    assert "--lr=1e-4" in plan.arguments and plan.nodes == 1 and plan.cwd == os.getcwd()


def test_axes_in_step_grow_in_step_and_filters_stay(tmp_path: Path):
    steps = ({"nodes": ("1", "2")}, {"lr": ("0.1", "0.2"), "batch": ("8", "16")})
    folder = made(tmp_path, axes=Axes(steps=steps, exclude=({"lr": ("0.2",), "nodes": ("2",)},)))
    assert added(folder, sweep=("lr=0.3", "batch=32")) == ["n1-lr0.3-batch32-r1", "n2-lr0.3-batch32-r1"]
    assert added(folder, repeats=2) == ["n1-lr0.1-batch8-r2", "n1-lr0.2-batch16-r2", "n2-lr0.1-batch8-r2"]
    with pytest.raises(Refusal, match="lr has 3 and batch has 2"):
        added(folder, sweep=("lr=0.3",))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"seed": 3}, r"--seed 3 .* \(0\)"),
        ({"scaling": "strong", "nodes": (4,)}, "--scaling strong"),
        ({"sample_hz": 5.0}, "--sample-hz 5.0"),
        ({"name": "other"}, "--name other"),
        ({"sweep": ("width=3",)}, "width is not an axis of .*, which has nodes, lr"),
        ({"repeats": 1}, "has 2 of each point already: give more"),
        ({"repeats": 2, "nodes": (1,)}, "has all of that already"),
        ({"sweep": ("lr=few",)}, "'few' is not a number"),
        ({"nodes": (100_000,)}, "ranks are too many for this machine"),
    ],
)
def test_a_study_of_other_options_is_another_study(tmp_path: Path, given: dict, says: str):
    folder = made(tmp_path, nodes=(1,), sweep=("lr=0.1",), repeats=2)
    before = sorted(tmp_path.rglob("*")), (folder / "study.json").read_bytes()
    with pytest.raises(Refusal, match=says):
        added(folder, **given)
    assert before == (sorted(tmp_path.rglob("*")), (folder / "study.json").read_bytes())
    assert added(folder, **{"repeats": 3, "seed": 0, "site": "laptop"}) == ["n1-lr0.1-r3"]  # the same is no other


def test_strong_scaling_cannot_grow_below_its_base(tmp_path: Path):
    folder = made(tmp_path, ("--batch=64",), nodes=(2, 4), scaling="strong")
    (_, plan), *_ = grow.growth(folder, {"nodes": (8,)}).runs
    assert plan.describe["global batch"] == "128 examples = 8 x 16"
    with pytest.raises(Refusal, match="n2-r1 was .*--batch=64.* and would be .*with strong scaling, fewer ranks"):
        added(folder, nodes=(1,))


def test_a_folder_in_the_way_is_left_alone(tmp_path: Path):
    folder = made(tmp_path, nodes=(1, 2))
    (folder / "n4-r1").mkdir()
    with pytest.raises(Refusal, match="n4-r1 exists, and is not the new run of that name"):
        added(folder, nodes=(4,))


def test_a_kill_leaves_the_study_with_all_of_it_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = made(tmp_path, nodes=(1, 2))
    what = grow.growth(folder, {"nodes": (4,), "repeats": 3})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(restore, "write", killed)
        with grow.grown(what):
            pass
    assert len(read_json(folder / "study.json")["runs"]) == 9
    runs = [RunDir(folder / entry["run"]) for entry in read_json(folder / "study.json")["runs"]]
    assert sum(run.is_missing for run in runs) == 7
    with restore.restored(runs):  # as resume does
        assert not any(run.is_missing for run in runs)
    for point, plan in what.runs:
        assert RunDir(folder / point.name).plan() == plan


def test_what_the_scheduler_refuses_is_not_added(tmp_path: Path):
    (tmp_path / "cluster.toml").write_text("")
    file = str(tmp_path / "cluster.toml")
    folder = made(tmp_path, here=site.load(file), nodes=(1, 2), site=file)
    before = (folder / "study.json").read_bytes()
    with pytest.raises(SubmissionRefused), grow.grown(grow.growth(folder, {"nodes": (4,)})):
        assert (folder / "n4-r1").is_dir()
        raise SubmissionRefused("no such partition")
    assert (folder / "study.json").read_bytes() == before and not (folder / "n4-r1").exists()


def test_older_studies_and_runs_do_not_grow(tmp_path: Path):
    folder = made(tmp_path, nodes=(1, 2))
    index = read_json(folder / "study.json")
    del index["asked"]
    (folder / "study.json").write_text(json.dumps(index))
    for path, says in ((folder, "as it is of an older version"), (folder / "n1-r1", "is not a study")):
        with pytest.raises(Refusal, match=says):
            extend.main([str(path), "--repeats=2"])


def test_a_study_whose_code_is_gone_does_not_grow(tmp_path: Path):
    (tmp_path / "program.py").write_text("")
    words = ("--backend=local", "--sample-hz=0", "--runs", tmp_path, "--name=s", "--repeats=2", tmp_path / "program.py")
    assert launch(*words).returncode == 0
    shutil.rmtree(tmp_path / "s" / ".code")
    before = sorted(os.listdir(tmp_path / "s")), (tmp_path / "s" / "study.json").read_bytes()
    with pytest.raises(Refusal, match=r"\.code/.* is gone, .* another --name"):
        extend.main([str(tmp_path / "s"), "--repeats=3"])
    assert sorted(set(os.listdir(tmp_path / "s")) - {".launcher"}) == sorted(set(before[0]) - {".launcher"})
    assert (tmp_path / "s" / "study.json").read_bytes() == before[1]
