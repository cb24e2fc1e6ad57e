"""The code that was submitted is the code that runs, on a real Slurm: in the queue, on several nodes, after a requeue."""

import os
import subprocess
from pathlib import Path

from launched import until
from projects import git, launched, repository
from slurm.fixtures import Cluster

from launch.record.rundir import RunDir

PROGRAM = """
import os, pathlib, time, helper
here = pathlib.Path(os.environ["LAUNCH_RUN"])
print("CODE", "v1", helper.VALUE, os.environ["LAUNCH_ATTEMPT"], os.environ["LAUNCH_NODE"], flush=True)
if os.environ["LAUNCH_ATTEMPT"] == "1":
    time.sleep(300)
import late
print("LATE", late.VALUE, flush=True)
"""


def test_a_held_and_requeued_job_runs_the_code_of_its_submission(clean_slurm: Cluster, tmp_path: Path):
    project = repository(tmp_path / "project", train_py=PROGRAM, helper_py="VALUE = 'v1'", late_py="VALUE = 'v1'")
    commit = git(project, "rev-parse", "HEAD")
    submitted = launched(
        project, "--backend", "slurm", "-N", 2, "--time", 5, "--max-attempts", 2, "--sample-hz", 0, "--name", "t", "--detach",
        "--sbatch-arg=--hold", "train.py",
    )  # fmt: skip
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    run = RunDir(project / "runs/t")
    job = str(run.events("submitted")[0].get("job"))
    for name in ("train.py", "helper.py", "late.py"):
        (project / name).write_text((project / name).read_text().replace("v1", "v2"))
    git(project, "commit", "-qam2")
    subprocess.run(["scontrol", "release", job], check=True)
    until(lambda: all(run.node_log(node).exists() and "CODE" in run.node_log(node).read_text() for node in (0, 1)))
    (project / "late.py").unlink()
    subprocess.run(["scontrol", "requeue", job], check=True)
    until(run.result, seconds=180)
    for node in (0, 1):
        lines = run.node_log(node).read_text()
        assert f"{node}: CODE v1 v1 1 {node}" in lines and f"{node}: CODE v1 v1 2 {node}" in lines
        assert f"{node}: LATE v1" in lines
    assert [event.get("changed") for event in run.events("started")] == [
        ["helper.py", "late.py", "train.py"],
        ["helper.py", "late.py", "train.py"],
    ]
    assert "changed since it was submitted: helper.py, late.py, train.py" in run.job_log.read_text()
    assert run.record().get("commit") == commit != git(project, "rev-parse", "HEAD")
    assert os.listdir(run.path / ".code/project") and not (project / ".code").exists()
