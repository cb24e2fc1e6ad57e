"""Runs of a study that are missing, and runs that are started again with other options."""

import dataclasses
import importlib
import json
import os
import shutil
from pathlib import Path

import pytest
from launched import launch, until
from plans import CLUSTER, LAPTOP, plan, run_of

from launch.cli import resume
from launch.cli.names import Named
from launch.cli.verbs import VERBS
from launch.errors import Refusal, SubmissionRefused
from launch.plan import site
from launch.plan.request import Request
from launch.record import job
from launch.record.files import read_json
from launch.record.rundir import RunDir
from launch.record.writing import publish_json
from launch.submit import places, revise, states
from launch.submit.study import restore
from launch.submit.workflow import stages

PROGRAM = "import os, sys\nprint(os.environ['LAUNCH_SEED'], sys.argv[1:])\n"


def a_study(folder: Path, *words: str, name: str = "s") -> Path:
    """A finished study on this machine."""
    (folder / "program.py").write_text(PROGRAM)
    made = launch(
        "--backend=local", "--sample-hz=0", "--runs", folder, f"--name={name}", *words, folder / "program.py", "a"
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return folder / name


def test_what_was_deleted_is_missing_and_run_again(tmp_path: Path):
    folder = a_study(tmp_path, "--sweep=width=1,2", "--repeats=2", "--seed=7")
    before = {path.name: read_json(path / "run.json") for path in folder.glob("n1-*")}
    shutil.rmtree(folder / "n1-width2-r1")
    shutil.rmtree(folder / "n1-width1-r2")
    (folder / "n1-width1-r2").mkdir()  # as a copy leaves it that was broken off
    (folder / "n1-width1-r1" / "run.json").unlink()  # nobody knows what the rest is worth
    shutil.copytree(folder / "n1-width2-r2", folder / "mine")  # no part of the study
    listed = launch("list", folder)
    assert "2 missing, 1 damaged, 1 done" in listed.stdout and "  4  " in listed.stdout
    assert f"{folder}/mine lies in the folder of a study" in listed.stderr
    told = {Path(one["path"]).name: one["state"] for one in json.loads(launch("status", folder, "--json").stdout)}
    assert told == {"n1-width1-r1": "damaged", "n1-width1-r2": "missing", "n1-width2-r1": "missing", "n1-width2-r2": "done", "mine": "done"}  # fmt: skip
    (one,), _ = states.look(places.find([folder / "n1-width2-r1"]))
    assert one.state == "missing" and "resume" in one.reason
    again = launch("resume", folder)
    assert again.returncode == 2 and "2 of 2 runs are done" in again.stdout, again.stdout + again.stderr
    assert again.stderr.count("launch: ") == 1  # beside what its runs print, where that is seen before they end
    assert "n1-width1-r1 has no run.json: remove what is left of it" in again.stderr
    shutil.rmtree(folder / "n1-width1-r1")
    alone = launch("resume", folder / "n1-width1-r1")
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert {path.name: read_json(path / "run.json") for path in folder.glob("n1-*")} == before
    assert "7 ['a', '--width=2']" in RunDir(folder / "n1-width2-r1").node_log(0).read_text()


def test_a_missing_run_is_not_made_up(tmp_path: Path):
    """Where the index does not say what was asked for, or a run would be another today."""
    folder = a_study(tmp_path, "--repeats=2")
    shutil.rmtree(folder / "n1-r2")
    index = read_json(folder / "study.json")
    publish_json(folder / "study.json", index | {"asked": None})
    refused = launch("resume", folder)
    assert refused.returncode == 2 and "as it is of an older version" in refused.stderr
    publish_json(folder / "study.json", index | {"asked": index["asked"] | {"arguments": ["b"]}})
    refused = launch("resume", folder)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert "arguments of n1-r1 was a and would be b today" in refused.stderr
    assert not (folder / "n1-r2").exists()


@pytest.mark.parametrize(
    ("events", "stays"),
    [((), False), (("submitted",), True), (("submitted", "cancelled"), False), (("started", "cancelled"), True)],
)
def test_what_a_scheduler_has_stays_where_it_refuses_more(tmp_path: Path, events: tuple[str, ...], stays: bool):
    """As the runs of a study are submitted in parts, where few jobs may be in the queue."""
    folder = a_study(tmp_path, "--repeats=2")
    run = RunDir(folder / "n1-r2")
    shutil.rmtree(run.path)
    with pytest.raises(SubmissionRefused), restore.restored([run]):
        for event in events:
            run.append_event(event)
        raise SubmissionRefused("enough")
    assert run.path.exists() is stays


def test_a_job_is_recovered_whose_run_is_gone(tmp_path: Path):
    folder = a_study(tmp_path, "--repeats=2")
    shutil.rmtree(folder / "n1-r2")
    lost = dataclasses.replace(job.of(folder)[-1], state="asked", id=None)
    known = lost.answered("7")
    assert (known.state, known.id) == ("submitted", "7") and not (folder / "n1-r2").exists()
    assert job.read(known.folder).id == "7"


def test_a_refused_resume_puts_nothing_back(tmp_path: Path):
    (tmp_path / "program.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    words = ("--backend=local", "--sample-hz=0", "--repeats=2", "--runs", tmp_path, "--name=s", "--detach")
    assert launch(*words, tmp_path / "program.py").returncode == 0
    first, second = (RunDir(tmp_path / "s" / name) for name in ("n1-r1", "n1-r2"))
    until(lambda: first.node_log(0).exists() and first.node_log(0).read_text(), 30)
    shutil.rmtree(second.path)
    for folder, says in ((tmp_path / "s", "n1-r1 is running"), (second.path, "its folder is gone, and job")):
        refused = launch("resume", folder)
        assert (refused.returncode, refused.stdout) == (2, "") and says in refused.stderr
        assert not second.path.exists()
    cancelled = launch("cancel", tmp_path / "s")
    assert cancelled.returncode == 0 and "n1-r1: ended" in cancelled.stdout, cancelled.stderr
    refused = launch("resume", tmp_path / "s", "--account=m1")
    assert refused.returncode == 2 and "--account is for Slurm" in refused.stderr
    assert not second.path.exists()


def test_a_run_is_started_again_with_more_time(tmp_path: Path):
    (tmp_path / "program.py").write_text(
        "import os, time\ntime.sleep(0 if os.environ['LAUNCH_ATTEMPT'] == '2' else 60)\n"
    )
    words = ("--backend=local", "--sample-hz=0", "--time=0:01", "--runs", tmp_path, "--name=r", tmp_path / "program.py")
    assert launch(*words).returncode == 4
    for wrong, says in ((("--time", "soon"), "not a walltime"), (("--account", "m1"), "--account is for Slurm")):
        refused = launch("resume", tmp_path / "r", *wrong)
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and says in refused.stderr
    assert not RunDir(tmp_path / "r").events("changed")
    again = launch("resume", tmp_path / "r", "--time", "5")
    assert again.returncode == 0 and "time           00:05:00 (was 00:00:01)" in again.stdout
    run = RunDir(tmp_path / "r")
    assert run.plan().time_s == 300 and "commit" in read_json(run.run_json)
    assert [event["time_s"] for event in run.events("changed")] == [[1, 300]]  # pyright: ignore


def test_it_is_held_to_the_limits_of_the_site(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no sbatch to be asked
    file = tmp_path / "mine.toml"
    file.write_text("[partitions]\nshort = {max_time = '1:00:00', max_nodes = 2}\nlong = {max_jobs = 7}\n")
    here = site.load(str(file))
    asked = Request(time="30", partition="short", account="m1", site=str(file))
    run = run_of(plan(asked, here), tmp_path / "r")
    assert run.plan().site_file == str(file)
    before = [(run, run.plan())]
    try:
        revise.revised(before, revise.Anew(time="2:00:00"))
        raise AssertionError("it is longer than the partition allows")
    except Refusal as refusal:
        assert "more than partition short" in str(refusal)
    after = revise.revised(before, revise.Anew(time="2:00:00", partition="long", qos="q"))
    new = after[0][1]
    assert (new.time_s, new.partition, new.qos, new.account, new.max_jobs) == (7200, "long", "q", "m1", 7)
    try:
        with revise.recorded(before, after):
            assert run.plan() == new
            raise SubmissionRefused("no such account")
    except SubmissionRefused:
        assert run.plan() == before[0][1]  # what was refused is not kept
    # The file of a user's own site was not always recorded.
    old = plan(asked, CLUSTER, site_file=None)
    assert revise.revised([(run, old)], revise.Anew(time="9:00:00"))[0][1].time_s == 32400
    assert oct(os.stat(run.run_json).st_mode & 0o777) == "0o600"


def test_a_run_is_found_by_its_name(tmp_path: Path, monkeypatch):
    """In the folder of the runs, where the name is no path from here."""
    run_of(plan(Request(), CLUSTER), tmp_path / "elsewhere" / "r")
    run_of(plan(Request(), CLUSTER), tmp_path / "runs" / "own")
    monkeypatch.chdir(tmp_path)
    assert Named().path("own") == Path("runs/own") and Named(runs=Path("elsewhere")).path("r") == Path("elsewhere/r")
    assert Named().path("elsewhere") == Path("elsewhere")  # a path from here comes first
    (tmp_path / "runs" / "s").mkdir()
    assert Named().path("s/deleted") == Path("runs/s/deleted")
    for word, says in (("owm", "did you mean 'own'"), ("x", "known: own, s")):
        with pytest.raises(Refusal, match=f"no '{word}' here, nor in the folder runs: {says}"):
            Named().path(word)
    for verb in (
        "status",
        "list",
        "logs",
        "resume",
        "extend",
        "cancel",
        "summary",
        "report",
        "score",
        "trace",
        "watch",
        "export",
    ):
        module = importlib.import_module(VERBS[verb][0])
        assert issubclass(module.Options, Named), verb


def test_a_stage_that_is_gone_is_said_to_be(tmp_path: Path):
    """Nothing says what it ran, so it is not made up."""
    run_of(plan(Request(), LAPTOP), tmp_path / "w" / "b")
    stages.write(tmp_path / "w", [stages.Stage(name, (), tmp_path / "w" / name) for name in ("a", "b")])
    found = {one.path.name: one.state for one in states.look(places.find([tmp_path / "w"]))[0]}
    assert found == {"a": "missing", "b": "planned"}
    with pytest.raises(Refusal, match="stage a of .* is gone, and workflow.json does not say what it ran"):
        resume.main([str(tmp_path / "w")])
