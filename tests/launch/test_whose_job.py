"""Which job a scheduler's answer is about, and which folder a job belongs to."""

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest
from launched import launch, until
from plans import plan, run_of

from launch.backends import scheduler
from launch.backends.flux import queue as flux
from launch.backends.pbs import queue as pbs
from launch.backends.scheduler import RUNNING, Answer, Status, about
from launch.backends.slurm import queue
from launch.record.job import Job, read
from launch.record.rundir import RunDir
from launch.submit import jobs as submitting
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
        ("{link}/jobs/1/job.sh|what the site sets", True),
        ("/another/job.sh|(null)", False),
        ("{script}|{another}", False),  # of a run that was removed since
    ],
)
def test_an_answer_is_about_the_job_whose_marks_it_has(tmp_path: Path, marks: str, ours: bool):
    job = asked(tmp_path, "slurm")
    link = tmp_path.with_name(f"{tmp_path.name}-link")
    link.symlink_to(tmp_path)
    status = Status(RUNNING, marks=marks.format(script=job.script, token=job.token, another=ANOTHER, link=link))
    assert (about([job], Answer({"7": status})).of(job, RunDir(tmp_path)) is not None) is ours


def test_pbs_and_flux_have_the_token_in_the_name(tmp_path: Path):
    job = asked(tmp_path, "pbs")
    for token, ours in ((job.token, True), (ANOTHER, False)):
        for status in (pbs.status({"job_state": "R", "Job_Name": f"s.{token}"}), flux.status({"name": f"s.{token}"})):
            assert (about([job], Answer({"7": status})).of(job, RunDir(tmp_path)) is not None) is ours


def test_a_moved_run_is_found_by_the_script_that_was_submitted(tmp_path: Path):
    job = asked(tmp_path / "before", "slurm")
    answer = Answer({"7": Status(RUNNING, marks=f"{job.script}|what the site sets")})
    job.holder.rename(tmp_path / "after")
    moved = dataclasses.replace(job, folder=tmp_path / "after" / "jobs" / "1")
    assert about([moved], answer).of(moved, RunDir(moved.holder)) is not None


@pytest.mark.parametrize(
    "status",
    [
        flux.status({"name": "mine"}),
        pbs.status({"job_state": "R", "Job_Name": "mine"}),
        pbs.status({"job_state": "R", "Job_Name": "mine", "Submit_arguments": f"-N s.{ANOTHER} /x/job.sh"}),
    ],
)
def test_a_job_that_was_renamed_is_known_by_its_id(tmp_path: Path, status: Status):
    job = asked(tmp_path, "flux")
    ours = ANOTHER not in status.marks
    assert (about([job], Answer({"7": status})).of(job, RunDir(tmp_path)) is not None) is ours


def test_a_cluster_is_asked_once_whose_jobs_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked_for: list[str] = []

    class Silent:
        def poll(self, jobs: object, shared: bool) -> Answer:
            return Answer({})

        def cluster(self, job: Job) -> str:
            asked_for.append(job.backend)
            return ""

    monkeypatch.setattr(scheduler, "scheduler", lambda name: Silent())
    jobs = [dataclasses.replace(asked(tmp_path / name, "slurm"), cluster="c (controller a:1)") for name in "abc"]
    assert scheduler.poll_all(jobs) == Answer({}) and asked_for == ["slurm"]


def test_a_controller_that_has_moved_keeps_no_run_from_going_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(queue, "ask", lambda numbers: Answer({}))
    run = run_of(plan(), tmp_path / "run")
    job = dataclasses.replace(asked(run.path, "slurm"), id=None).ask("c (controller a:1)").answered("7")

    def state(here: str) -> tuple[str, str]:
        monkeypatch.setattr(queue, "cluster", lambda: here)
        (known,), _ = states.look([run.path], fresh=True)
        return known.state, known.reason

    assert state("c (controller a:1)")[0] == "lost"
    for here, way_out in (("d (controller a:1)", False), ("c (controller b:1)", True)):
        known, reason = state(here)
        assert known == "unknown" and (f"resume --take-over {run.path}" in reason) is way_out
        submitting.take_over([run])
        assert (state(here)[0] == "lost") is way_out
    assert read(job.folder).cluster == "c (controller b:1)"


def test_a_setting_without_a_value_hides_no_other(monkeypatch: pytest.MonkeyPatch):
    said = "CliFilterPlugins        = \nClusterName             = linux\nSlurmctldPort = 6817\n"
    monkeypatch.setattr(queue, "command", lambda *_: subprocess.CompletedProcess([], 0, said, ""))
    assert queue._config() == {"ClusterName": "linux", "SlurmctldPort": "6817"}


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
