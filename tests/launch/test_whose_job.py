"""Which job a scheduler's answer is about, and which folder a job belongs to."""

import shutil
from pathlib import Path

import pytest
from launched import launch, until

from launch.backends.flux import queue as flux
from launch.backends.pbs import queue as pbs
from launch.backends.scheduler import RUNNING, Answer, Status, about
from launch.record.job import Job
from launch.record.rundir import RunDir
from launch.submit import states

ANOTHER = f"rankloop-{'0' * 32}"
WAIT = "import time\nprint('here', flush=True)\ntime.sleep(120)\n"


def asked(folder: Path, backend: str) -> Job:
    job = Job(folder=folder / "jobs" / "1", backend=backend, shape="run", runs=(".",), saves=False, name="s", id="7")
    job.folder.mkdir(parents=True, exist_ok=True)
    return job.ask()


@pytest.mark.parametrize(
    ("marks", "ours"),
    [
        ("{script}|{token}", True),
        ("/moved/since/job.sh|mine {token}", True),
        ("{script}|what the site sets", True),
        ("", True),  # the scheduler shows none
        ("/another/job.sh|(null)", False),
        ("{script}|{another}", False),  # of a run that was removed since
    ],
)
def test_an_answer_is_about_the_job_whose_marks_it_has(tmp_path: Path, marks: str, ours: bool):
    job = asked(tmp_path, "slurm")
    status = Status(RUNNING, marks=marks.format(script=job.script, token=job.token, another=ANOTHER))
    assert (about([job], Answer({"7": status})).of(job, RunDir(tmp_path)) is not None) is ours


def test_pbs_and_flux_have_the_token_in_the_name(tmp_path: Path):
    job = asked(tmp_path, "pbs")
    for token, ours in ((job.token, True), (ANOTHER, False)):
        for status in (pbs.status({"job_state": "R", "Job_Name": f"s.{token}"}), flux.status({"name": f"s.{token}"})):
            assert (about([job], Answer({"7": status})).of(job, RunDir(tmp_path)) is not None) is ours


def test_two_jobs_with_one_id_do_not_hide_each_other(tmp_path: Path):
    """As of two clusters, or of containers in which pids start again."""
    jobs = [asked(tmp_path / name, "slurm") for name in ("a", "b")]
    answer = about(jobs, Answer({"7": Status(RUNNING, marks=f"|{jobs[0].token}")}))
    assert [answer.of(job, RunDir(job.holder)) is not None for job in jobs] == [True, False]


def test_a_copy_of_a_run_on_this_machine(tmp_path: Path):
    (tmp_path / "program.py").write_text(WAIT)
    words = ("--backend=local", "--sample-hz=0", "--runs", tmp_path, "--name=run", "--detach", tmp_path / "program.py")
    assert launch(*words).returncode == 0
    run, copy = RunDir(tmp_path / "run"), RunDir(tmp_path / "copy")
    until(lambda: run.node_log(0).exists() and "here" in run.node_log(0).read_text(), 30)
    shutil.copytree(run.path, copy.path, symlinks=True)
    (tmp_path / "link").symlink_to(run.path)
    for paths in ([run.path, copy.path], [copy.path, run.path]):
        assert {one.path: one.state for one in states.look(paths)[0]} == {run.path: "running", copy.path: "lost"}
    (linked,), _ = states.look([tmp_path / "link"])
    assert linked.state == "running"
    assert f"is not running (lost): a copy of {run.path}" in launch("cancel", copy.path).stdout
    assert launch("rm", "--yes", "--force", copy.path).returncode == 0 and not copy.path.exists()
    (known,), _ = states.look([run.path])
    assert known.state == "running"
    assert launch("cancel", run.path).returncode == 0
