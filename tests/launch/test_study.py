"""Studies: which runs they are, and that each is made once."""

import dataclasses
import resource
import signal
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from launched import Launched, facts, launch, until
from plans import CLUSTER, EIGHT_CORES, NOON

from launch.errors import Refusal
from launch.plan import sweep
from launch.plan.request import Request
from launch.plan.target import workload
from launch.record.files import read_json, read_lines
from launch.record.rundir import RunDir
from launch.record.writing import publish
from launch.submit.study import planning


@given(
    st.lists(st.integers(1, 64), min_size=1, max_size=5, unique=True),
    st.lists(st.sampled_from(["1e-3", "0.01", "a b", "x/y", "7"]), min_size=1, max_size=4, unique=True),
    st.integers(1, 4),
)
def test_every_combination_is_made_as_often_as_asked(nodes: list[int], values: list[str], repeats: int):
    found = planning.points(sweep.from_words([f"lr={','.join(values)}"], nodes), repeats)
    assert len(found) == len(nodes) * len(values) * repeats == len(set(found))
    # All points once before any a second time, so that a study that is cut short has all points.
    assert {(p.nodes, p.values) for p in found[: len(nodes) * len(values)]} == {(p.nodes, p.values) for p in found}


def test_names_of_runs_are_names_of_folders():
    found = planning.points(sweep.from_words(["path=/a/b,../c", "lr=1e-3,2e-3"], None), 1)
    assert [point.name for point in found][:2] == ["n1-path_a_b-lr1e-3-r1", "n1-path_a_b-lr2e-3-r1"]
    alike = sweep.from_words([f"a=1/2,1_2,[1],(1),{'x' * 99},{'x' * 100}", "password=hunter2"], [16])
    assert [point.name for point in planning.points(alike, 2)][:6] == [
        f"n16-a{label}-password_secret{number}-r1" for label in ("1_2", "_1", "x" * 47) for number in ("", "-2")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed=0..3", ["0", "1", "2", "3"]),
        ("--lr=1e-3,1", ["1e-3", "1"]),
        ("shift=-1..1", ["-1", "0", "1"]),
        ("part=08..10", ["08", "09", "10"]),
        ("x=0..2,7", ["0..2", "7"]),
        ("batch_size=8, 16", ["8", "16"]),
        ("layers=[64,64],[128,128]", ["[64,64]", "[128,128]"]),
        ('net={"a": [1, 2]},f(1, 2)', ['{"a": [1, 2]}', "f(1, 2)"]),
        ("""say="a, \\"b,",'c,d'""", ['"a, \\"b,"', "'c,d'"]),
        ("say=don't,can't", ["don't", "can't"]),
        ("path=C:\\,D:\\", ["C:\\", "D:\\"]),
        (r"pattern=\[a,b\]", [r"\[a", r"b\]"]),
        ("it=a=b,--c", ["a=b", "--c"]),
    ],
)
def test_axes(text: str, expected: list[str]):
    assert sweep.axis(text)[1] == expected


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"array": ("lr",)}, "is not an axis: give NAME=VALUE"),
        ({"array": ("lr=1,,2",)}, "is not an axis"),
        ({"array": ("seed=3..1",)}, "a range goes upwards: give seed=1..3"),
        ({"array": ("seed=0.1..0.5",)}, "a range has whole numbers"),
        ({"array": ("lr=1,1",)}, "is given twice in lr=1,1"),
        ({"array": ("lr=1", "lr=2")}, "the axis lr is given twice"),
        ({"array": ("max-lr=1", "max_lr=2")}, "the axis max_lr is given twice"),
        ({"array": ("layers=[64,64],[128",)}, r"--sweep layers='\[64,64\],\[128': \[ is not closed"),
        ({"array": ("x=(1,2],3",)}, r"\] is not closed"),
        ({"array": ("x=1),2",)}, r"\) is not closed"),
        ({"array": ("x='a,b",)}, "' is not closed"),
        ({"array": ("-n=1,2",)}, "cannot be the name of an axis"),
        ({"array": ("nodes=1,2",), "nodes": (2,)}, "nodes are given twice"),
        ({"array": ("nodes=few",)}, "the axis nodes: 'few' is not a whole number"),
        ({"array": ("seed=x",)}, "the axis seed: 'x' is not"),
        ({"nodes": (2, 2)}, "is given twice in nodes=2,2: give each once"),
    ],
)
def test_what_is_no_study_is_refused(asked: dict, said: str):
    with pytest.raises(Refusal, match=said):
        planning.points(sweep.from_words(asked.get("array", ()), asked.get("nodes")), asked.get("repeats", 1))


@pytest.mark.parametrize(
    ("array", "repeats"),
    [
        (("x=0..99999999999",), 1),
        (("seed=0..99999", "x=0..99999", "y=0..99999"), 1),
        (tuple(f"a{i}=0..9" for i in range(400)), 1),
        (("x=0..999",), 101),
    ],
)
def test_a_study_that_is_too_large_is_refused_by_its_count(array: tuple[str, ...], repeats: int):
    limit = resource.getrlimit(resource.RLIMIT_AS)
    used = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, limit[1]))  # to expand it would take far more
    try:
        with pytest.raises(Refusal, match="runs is too large: 100,000 are the most"):
            planning.points(sweep.from_words(array, None), repeats)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)


@pytest.mark.parametrize("name", ["../x", "a b", "1", "", "a{b}", "a\x07"])
def test_the_name_of_an_axis_is_that_of_an_option(name: str):
    with pytest.raises(Refusal, match="axis"):
        sweep.from_words((f"{name}=1,2",), None)


def plans(asked: Request, target: workload.Target) -> list:
    found = planning.points(sweep.from_words(asked.sweep, asked.nodes), asked.repeats)
    return planning.plans(asked, target, found, CLUSTER, EIGHT_CORES, NOON)


def test_strong_scaling_holds_the_global_batch_and_the_learning_rate(monkeypatch: pytest.MonkeyPatch):
    target = workload.find("tiny", ["--batch=64", "--lr=0.01", "--lr-scaling=linear"])
    made = plans(Request(nodes=(2, 4, 8), scaling="strong"), target)
    assert [plan.describe["global batch"] for plan in made] == [
        "128 examples = 2 x 64",
        "128 examples = 4 x 32",
        "128 examples = 8 x 16",
    ]
    assert len({plan.describe["learning rate"] for plan in made}) == 1
    assert (
        made[0].describe["learning rate"].startswith("0.02 ") and "from 0.01 over" in made[0].describe["learning rate"]
    )
    weak = plans(Request(nodes=(2, 4, 8)), target)
    assert [plan.describe["global batch"].split()[0] for plan in weak] == ["128", "256", "512"]
    with pytest.raises(Refusal, match="128 cannot be divided among 3 ranks"):
        plans(Request(nodes=(2, 3), scaling="strong"), target)


def test_the_budget_counts_gpus():
    asked = Request(nodes=(1, 2), repeats=3, time="30", gpus_per_node=4, budget=17.9)
    tiny = workload.find("tiny", [])
    made = plans(asked, tiny)
    assert planning.cost(made) == (3 * (1 + 2) * 4 * 0.5, "GPU-hours")
    with pytest.raises(Refusal, match=r"6 runs take up to 18 GPU-hours, more than --budget 17.9"):
        planning.refuse_beyond_budget(made, asked.budget)
    with pytest.raises(Refusal, match="give --time"):
        planning.refuse_beyond_budget(plans(dataclasses.replace(asked, time=None), tiny), 1)


def test_a_dry_run_shows_the_points_and_makes_nothing(tmp_path: Path):
    dry = launch("--nodes=1,2,4", "--repeats=5", "--time=10", "--dry-run", "--runs", tmp_path / "runs", "tiny")
    assert dry.returncode == 0, dry.stderr
    assert facts(dry.stdout)["study"] == "3 points x 5 repeats = 15 runs, weak scaling"
    assert facts(dry.stdout)["cost"].startswith("5.833 node-hours")
    assert "128 examples = 4 x 32" in dry.stdout
    assert not (tmp_path / "runs").exists()


def test_a_failed_run_is_made_again_alone(tmp_path: Path):
    """And what has a result is not made twice."""
    program, mended = tmp_path / "program.py", tmp_path / "mended"
    program.write_text(
        "import os, sys\n"
        f"sys.exit(3 if os.environ['LAUNCH_SEED'] == '2' and not os.path.exists({str(mended)!r}) else 0)\n"
    )
    made = launch("--sweep=seed=1..3", "--runs", tmp_path, "--name=s", program)
    assert made.returncode == 1, made.stdout + made.stderr
    assert "2 of 3 runs are done" in made.stdout and "n1-seed2-r1: failed" in made.stdout
    publish(mended, "")
    again = launch("resume", tmp_path / "s")
    assert again.returncode == 0, again.stdout + again.stderr
    attempts = {
        e["run"]: len(RunDir(tmp_path / "s" / e["run"]).events("started"))
        for e in read_json(tmp_path / "s" / "study.json")["runs"]
    }
    assert attempts == {"n1-seed1-r1": 1, "n1-seed2-r1": 2, "n1-seed3-r1": 1}
    assert launch("resume", tmp_path / "s").returncode == 2
    assert launch("--sweep=seed=1..3", "--runs", tmp_path, "--name=s", program).returncode == 2


def test_ctrl_c_ends_the_study(tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text("import time; time.sleep(100)")
    launched = Launched("--repeats=3", "--runs", tmp_path, "--name=s", program)
    until(lambda: launched.ranks())
    launched.process.send_signal(signal.SIGINT)
    status, output = launched.wait()
    assert status == 130 and f"python -m launch resume {tmp_path / 's'}" in output
    assert not RunDir(tmp_path / "s" / "n1-r2").events("started")


@pytest.mark.slow
def test_from_runs_to_the_table_and_the_prediction(tmp_path: Path):
    """The loop: launch -> records -> efficiency with intervals -> prediction."""
    words = ["tiny", "--epochs=1", "--batch=16", "--threads=1", "--evaluate-every=0"]
    made = launch("--nodes=1,2", "--repeats=2", "--runs", tmp_path, "--name=s", *words)
    assert made.returncode == 0, made.stdout + made.stderr
    assert f"python -m launch report {tmp_path / 's'}" in made.stdout
    from profiling.cli import inputs

    series, _ = inputs.series(tmp_path / "s", None)
    assert (series.kind, series.workers, [len(point.rates) for point in series.points]) == ("weak", [1, 2], [2, 2])
    lines = [line for line in read_lines(tmp_path / "s" / "n2-r1" / "steps" / "node0.jsonl") if not line["compiled"]]
    timed = lines[round(len(lines) / 10) :]
    assert series.points[1].rates[0] == pytest.approx(32 * len(timed) / sum(line["seconds"] for line in timed))
