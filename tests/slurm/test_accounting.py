"""A real Slurm with accounting: what it refuses by account and QOS, and that nothing else is other than without."""

import json
import subprocess
from pathlib import Path

import pytest
from launched import launch, until
from slurm.fixtures import Cluster

from launch.record.rundir import RunDir

pytestmark = pytest.mark.usefixtures("accounting")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """One that takes as long as it is let."""
    file = tmp_path / "program.py"
    file.write_text(f"import os, time\nwhile not os.path.exists({str(tmp_path / 'quick')!r}): time.sleep(0.1)")
    return file


@pytest.mark.parametrize(
    ("words", "slurms", "advice"),
    [
        (["-A", "wrong"], "Invalid account or account/partition combination specified", "name an account of yours with -A"),
        (["-A", "science", "-q", "wrong"], "Invalid qos specification", "name another with -q"),
        (["-A", "science", "-q", "brief", "--time=20"], "QOSMaxWallDurationPerJobLimit", "ask for less --time"),
        (["-A", "science", "-q", "few", "--repeats=4"], "QOSMaxSubmitJobPerUserLimit", "so many of your jobs are in the queue"),
    ],
)  # fmt: skip
def test_a_refusal_has_slurms_words_and_leaves_nothing(
    words: list[str], slurms: str, advice: str, tmp_path: Path, program: Path
):
    refused = launch(*words, "--runs", tmp_path / "runs", "--name=a", program)
    assert refused.returncode == 3 and refused.stderr.count("\n") == 1, refused.stderr
    assert slurms in refused.stderr and advice in refused.stderr
    assert list((tmp_path / "runs").iterdir()) == []
    assert subprocess.run(["squeue", "-h"], capture_output=True, text=True).stdout == ""


def test_what_a_limit_holds_back_is_shown_cancelled_and_resumed(accounting: Cluster, tmp_path: Path, program: Path):
    study = tmp_path / "s"
    made = launch("-A", "science", "-q", "few", "--repeats=2", "--detach", "--runs", tmp_path, "--name=s", program)
    assert made.returncode == 0, made.stdout + made.stderr
    until(lambda: RunDir(study / "n1-r1").events("started"))

    def shown() -> list[dict]:
        return json.loads(launch("status", study, "--json").stdout)

    until(lambda: [(one["state"], one["reason"]) for one in shown()] == [("running", ""), ("queued", "QOSMaxJobsPerUserLimit")], 60, 1)  # fmt: skip
    assert launch("cancel", study).returncode == 0
    assert [one["state"] for one in shown()] == ["cancelled", "cancelled"]
    (tmp_path / "quick").touch()
    again = launch("resume", study)
    assert again.returncode == 0 and "2 of 2 runs are done" in again.stdout, again.stdout + again.stderr
    accounts = "sacct --noheader --allocations --parsable2 --format=account,qos".split()
    assert set(subprocess.run(accounts, capture_output=True, text=True).stdout.split()) == {"science|few"}
