"""Studies from Python: `import rankloop` where the toolkit is installed, on real runs of a plain script."""

import subprocess
import sys
from pathlib import Path

import pytest
from launched import ROOT, environment, until

from launch.errors import Refusal
from launch.record.rundir import RunDir
from profiling import api

INSIDE = ROOT / "launch" / "inside"
LOCAL = {"backend": "local", "sample_hz": 0}
SCRIPT = """
import sys, time, rankloop
options = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:] if "=" in word)
if "bad" in sys.argv: raise ValueError("diverged")
for batch in rankloop.steps(range(30), examples=64): time.sleep(float(options.get("pause", 0.002)))
rankloop.result(accuracy=1 - float(options.get("lr", 0.1)))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python(code: str, folder: Path, *options: str, **env: str) -> subprocess.CompletedProcess:
    """A program of a user's, who finds rankloop as the installed command would have it."""
    command = [sys.executable, *options, "-c", code]
    env = environment(PYTHONPATH=str(INSIDE)) | env
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)


def test_a_study_outlives_who_started_it_and_is_read_as_the_verbs_read_it(folder: Path, capfd):
    code = "import rankloop; s = rankloop.launch('train.py', nodes=[1, 2], sweep={'lr': [0.25, 0.5]}, name='s', backend='local', sample_hz=0)"
    started = python(code, folder)
    assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
    study = api.Study("runs/s")
    meanwhile = study.table(by="accuracy")  # while it runs
    assert {row["asked"] for row in meanwhile} == {1} and len(meanwhile) == 4
    assert study.wait(timeout=60) is study
    assert sorted(path.name for path in study.runs) == [f"n{n}-lr{lr}-r1" for n in (1, 2) for lr in (0.25, 0.5)]
    assert {row["state"] for row in study.status()} == {"done"} and "n2-lr0.5-r1 " in str(study.status())
    best = study.table(by="accuracy")[0]
    assert (best["lr"], best["repeats"], best["accuracy"]) == ("0.25", 1, 0.75)
    assert study.table(by="accuracy", smallest=True)[0]["accuracy"] == 0.5
    assert study.table()._repr_markdown_().startswith("## s: 4 points of train.py\n\n| nodes | lr |")
    scaling = study.scaling(series="train.py lr=0.5")
    assert [row["workers"] for row in scaling] == [1, 2] and 0.2 < scaling[1]["efficiency"] < 2
    [ahead] = study.predict(8, series="train.py lr=0.5")
    assert ahead["workers"] == 8 and ahead["low"] < ahead["throughput"] < ahead["high"]
    assert [row["nodes"] for row in study.predict([4, 8], series="train.py lr=0.5")] == [4, 8]
    for wrong in (lambda: study.scaling(), lambda: study.table(by="acuracy"), lambda: study.predict(0)):
        with pytest.raises(Refusal) as refused:
            wrong()
        assert "--series" not in str(refused.value) and "--by" not in str(refused.value)
    [submitted] = RunDir(folder / "runs" / "s" / "n1-lr0.5-r1").events("submitted")
    assert {"--sweep=lr=0.25,0.5", "--nodes=1,2", "--name=s"} < set(submitted["command"])  # for the report
    frames_of_pandas(study)
    assert capfd.readouterr() == ("", "")


def frames_of_pandas(study: api.Study) -> None:
    try:
        import pandas  # noqa: F401
    except ModuleNotFoundError:
        for frame in (study.to_dataframe, study.table().to_dataframe):
            with pytest.raises(Refusal, match="pip install pandas"):
                frame()
        return
    frame = study.to_dataframe()
    assert list(frame["lr"]) == [0.25, 0.5] * 2 and list(frame["accuracy"]) == [0.75, 0.5] * 2
    assert set(frame["state"]) == {"done"} and list(frame["nodes"]) == [1, 1, 2, 2]
    assert list(study.table().to_dataframe()["accuracy"]) == [0.75, 0.5] * 2


def test_a_failed_run_is_said_and_one_that_goes_on_is_cancelled(folder: Path, capfd):
    failed = api.launch("train.py", "bad", **LOCAL).wait(60)
    [row] = failed.status()
    assert row["state"] == "failed" and "diverged" in row["reason"] and row["path"] == str(failed.path)
    running = api.launch(Path("train.py"), "--pause=10", repeats=2, name="long", **LOCAL)
    until(lambda: running.status()[0]["state"] == "running", 30)
    with pytest.raises(TimeoutError, match="2 of the runs"):
        running.wait(timeout=0.1)
    running.cancel()
    assert "running" not in {row["state"] for row in running.wait(30).status()}
    assert not running.table()[0]["repeats"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"node": 2}, "did you mean 'nodes'"),
        ({"nodes": 0}, "--nodes"),
        ({"detach": True}, "command line"),
        ({"sweep": {"lr": ["a,b", "c"]}}, "definition"),
        ({"sweep": "lr"}, "not an axis"),
        ({"sweep": {"lr": [object()]}}, "command line"),
        ({"sweep": {"lr": [{"a": object()}]}}, "command line"),
        ({"sweep": {"lr": [lambda: 1]}}, "command line"),
        ({"site": "nowhere"}, "nowhere"),
        ({"name": "no name"}, "letters, digits"),
    ],
)
def test_refusals_are_one_line_and_start_nothing(folder: Path, capfd, asked: dict, words: str):
    with pytest.raises(Refusal) as refused:
        api.launch("train.py", **asked)
    assert words in str(refused.value) and "\n" not in str(refused.value) and refused.value.status == 2
    assert not (folder / "runs").exists() and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("path", [5, None, ["runs"]])
def test_what_cannot_be_a_folder_is_no_study(path: object):
    with pytest.raises(Refusal, match="give the folder"):
        api.Study(path)  # pyright: ignore[reportArgumentType]


def test_options_are_written_as_on_the_command_line():
    fields = {field.name: field for field in api.dataclasses.fields(api.Request)}
    for name, value, words in (
        ("nodes", range(1, 4), ["--nodes=1,2,3"]),
        ("sbatch_arg", ["--exclusive", "-x n1"], ["--sbatch-arg=--exclusive", "--sbatch-arg=-x n1"]),
        ("share_gpus", True, ["--share-gpus"]),
        ("follow", False, ["--no-follow"]),
        ("time", None, []),
        ("runs", Path("a b"), ["--runs=a b"]),
    ):
        assert api._words(fields[name], value) == words
    axes = {"seed": "0..4", "net": [[8, 8], {"a": 1}], "adam": [True, False], "lr": (1e-3, 0.01), "x": 3}
    try:
        words = api._axes(axes)
    except Refusal:  # where a comma in brackets parts values
        words = api._axes({name: values for name, values in axes.items() if name != "net"})
    assert [word for word in words if "net" not in word] == ["seed=0..4", "adam=true,false", "lr=0.001,0.01", "x=3"]


def test_where_the_toolkit_cannot_be_it_is_one_line(folder: Path):
    assert python("import rankloop, sys; assert not {'launch', 'profiling', 'json'} & sys.modules.keys()", folder, "-S").returncode == 0  # fmt: skip
    for code, options, words in (
        ("from rankloop import Study", ["-S"], "is not installed"),  # no site packages, so no numpy
        ("import launch, rankloop; rankloop.launch", [], "module 'launch' of your own"),
    ):
        (folder / "launch.py").write_text("")
        last = python(code, folder, *options).stderr.splitlines()[-1]
        assert last.startswith("ImportError: rankloop.") and words in last, last
    assert python("import rankloop; rankloop.nothing", folder).stderr.count("has no attribute 'nothing'") == 1
    # A module of such a name that nobody has imported takes the place of none of the toolkit's.
    done = python(
        "import rankloop, sys; path = [*sys.path]; print(rankloop.Study.__module__, sys.path == path)", folder
    )
    assert done.stdout.split() == ["profiling.api", "True"], done.stderr
