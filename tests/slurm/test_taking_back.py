"""What was submitted is taken back, and what is cancelled ends: or it is said that it has not, and it stays known."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from launched import ROOT, launch, until
from slurm.fixtures import Cluster, queue

from launch.__main__ import main
from launch.backends import cancelling, submission
from launch.backends.slurm.submission import QUEUE
from launch.errors import Refusal, SubmissionRefused
from launch.node.job import slurm as slurm_job
from launch.record.files import read_json
from launch.record.job import Job
from launch.record.rundir import RunDir

Replace = Callable[[str, str], None]
SILENCE = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"


@pytest.fixture
def replace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replace]:
    """A function that puts a line of bash in the place of a command; REAL in it is the command itself."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def function(name: str, line: str) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(f"#!/bin/bash\n{line.replace('REAL', shutil.which(name) or 'false')}\n")
        (folder / name).chmod(0o755)

    yield function
    shutil.rmtree(folder)


@pytest.fixture
def impatient(clean_slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Words of a launcher, in this process, that waits for seconds where others wait for minutes; all jobs are held back."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(cancelling, "_LEAVING_S", 1.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    site = tmp_path / "impatient.toml"
    site.write_text("patience_s = 2\n")
    return "--site", str(site), "--sbatch-arg=--hold", "--time=5", "--detach", "--runs", str(tmp_path), "--name=s"


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "program.py"
    path.write_text("")
    return str(path)


def states(folder: Path) -> dict[str, str]:
    shown = launch("status", "--json", folder)
    assert shown.returncode == 0, shown.stderr
    return {str(Path(one["path"]).relative_to(folder)): one["state"] for one in json.loads(shown.stdout)}


def test_what_a_workflow_has_submitted_stays_where_slurm_falls_silent(
    impatient: tuple[str, ...], tmp_path: Path, program: str, replace: Replace
):
    silent = tmp_path / "silent"
    for name in ("squeue", "scancel", "scontrol"):
        replace(name, f'[ ! -e {silent} ] || {{ {SILENCE}; }}\nexec REAL "$@"')
    replace("sbatch", f'[ ! -e {silent} ] || {{ {SILENCE}; }}\nREAL "$@"; status=$?; touch {silent}; exit $status')
    workflow = tmp_path / "workflow.toml"
    stage = f'[[stage]]\nname = "NAME"\nworkload = "{program}"\n'
    workflow.write_text(stage.replace("NAME", "a") + stage.replace("NAME", "b") + 'after = ["a"]\n')
    with pytest.raises(SubmissionRefused, match="has not answered for 2 s"):
        main([*impatient, str(workflow)])
    silent.unlink()
    replace("sbatch", 'exec REAL "$@"')
    assert len(queue()) == 1
    assert states(tmp_path / "s") == {"a": "queued", "b": "queued"}
    cancelled = launch("cancel", tmp_path / "s")
    assert cancelled.returncode == 0 and not queue(), cancelled.stderr
    assert states(tmp_path / "s") == {"a": "cancelled", "b": "planned"}


def test_a_study_of_which_a_job_could_not_be_taken_back_stays(
    impatient: tuple[str, ...], tmp_path: Path, program: str, replace: Replace, capsys: pytest.CaptureFixture
):
    replace("sbatch", f'[ ! -e {tmp_path}/one ] || set -- --qos=nope "$@"\ntouch {tmp_path}/one; exec REAL "$@"')
    replace("scancel", "exit 1")
    with pytest.raises(SubmissionRefused, match="Slurm refused the job"):
        main([*impatient, "--constraint=nope", "--nodes=1", program])
    assert not (tmp_path / "s").exists() and not queue()
    (tmp_path / "one").unlink(missing_ok=True)
    replace("sbatch", f'[ ! -e {tmp_path}/one ] || set -- --constraint=nope "$@"\ntouch {tmp_path}/one; exec REAL "$@"')
    with pytest.raises(SubmissionRefused, match="Slurm refused the job"):
        main([*impatient, "--nodes=1,2", program])
    (number,) = queue()
    assert f"job {number} has not ended" in capsys.readouterr().err
    assert states(tmp_path / "s") == {"n1-r1": "queued", "n2-r1": "planned"}


def test_what_has_not_ended_is_not_called_cancelled(
    impatient: tuple[str, ...], tmp_path: Path, program: str, replace: Replace, capsys: pytest.CaptureFixture
):
    """What has ended is, though a node of it does not answer: Slurm asks that again after a minute or so."""
    assert main([*impatient, program]) == 0
    replace("scancel", SILENCE)
    (number,) = queue()
    with pytest.raises(Refusal, match=f"job {number} has not ended"):
        main(["cancel", str(tmp_path / "s")])
    assert states(tmp_path / "s") == {".": "queued"} and queue() == [number]
    replace("scancel", 'exec REAL "$@"')
    replace("squeue", f"echo '{number}|{number}|COMPLETING|None|node1'")
    assert main(["cancel", str(tmp_path / "s")]) == 0
    assert f"still cleaning up after job {number}" in capsys.readouterr().err
    replace("squeue", 'exec REAL "$@"')
    assert states(tmp_path / "s") == {".": "cancelled"} and not queue()


def test_a_sbatch_of_the_site_that_is_at_work_is_waited_for(tmp_path: Path):
    """It is a script, so the name of its process is that of the shell."""
    fields = {"backend": "slurm", "shape": "run", "runs": (".",), "saves": False, "name": "s"}
    job = Job(folder=tmp_path / "jobs" / "1", **fields)
    job.folder.mkdir(parents=True)
    job = job.ask()
    site = subprocess.Popen(["bash", "-c", "sleep 30; true", "sbatch", f"--comment={job.token}"])
    try:
        until(Path(f"/proc/{site.pid}/cmdline").read_bytes)
        with pytest.raises(Refusal, match=f"process {site.pid} is still submitting"):
            submission.attach(job, QUEUE)
    finally:
        site.kill()


def test_a_run_waits_for_the_nodes_of_the_job_before_it(tmp_path: Path, replace: Replace):
    """Slurm may clean up after a job that was cancelled when the next one begins."""
    replace(
        "scontrol",
        f'[ -e {tmp_path}/asked ] && state=CANCELLED; touch {tmp_path}/asked; echo "JobState=${{state:-COMPLETING}} Reason=None"',
    )
    assert not slurm_job.is_at_work("7")
    assert (tmp_path / "asked").exists()
    replace("scontrol", "echo JobState=RUNNING Reason=None")
    assert slurm_job.is_at_work("7")


@pytest.mark.slow
def test_a_job_in_a_hidden_partition_is_found_again(clean_slurm: Cluster, tmp_path: Path, program: str):
    """Slurm hides it from its own user, unless that is root or asks for all."""
    if os.geteuid():
        pytest.skip("only root can be another user")
    runs = tmp_path / "runs"
    runs.mkdir(mode=0o777)
    os.chown(runs, 65534, 65534)
    rights = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    other = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *rights, "env", f"HOME={runs}")
    killed_at = (sys.executable, str(Path(__file__).with_name("killed_at.py")), "answered")
    asked = ("--detach", "-p", "hidden", "--time=5", "--sbatch-arg=--hold", "--runs", str(runs), "--name=s", program)

    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run([*other, *words], cwd=ROOT, capture_output=True, text=True, timeout=120)

    subprocess.run(["scontrol", "create", "partitionname=hidden", "nodes=ALL", "hidden=yes"], check=True)
    try:
        assert run(*killed_at, *asked).returncode == -9
        resumed = run(sys.executable, "-m", "launch", "resume", str(runs / "s"), "--detach")
        assert "recovered" in resumed.stdout and "is running" in resumed.stderr, resumed.stdout + resumed.stderr
        assert len(queue()) == 1
        cancelled = run(sys.executable, "-m", "launch", "cancel", str(runs / "s"))
        assert cancelled.returncode == 0 and not queue(), cancelled.stderr
    finally:
        subprocess.run(["scancel", "--partition=hidden"], check=False)
        subprocess.run(["scontrol", "delete", "partitionname=hidden"], check=False)
    assert read_json(RunDir(runs / "s").run_json)["partition"] == "hidden"
