"""Readings of the nodes of a real Slurm job: put in order before Slurm kills what its ranks have left."""

from pathlib import Path

from launched import launch
from slurm.fixtures import Cluster

from launch.record.files import read_lines
from launch.record.rundir import RunDir
from profiling.telemetry import readings


def test_each_node_is_read_and_its_file_in_order_when_the_job_ends(clean_slurm: Cluster, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text("import time; time.sleep(6)")
    done = launch("-N", 2, "--ranks-per-node", 2, "--sample-hz", 100, "--runs", tmp_path, "--name", "read", program)
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(tmp_path / "read")
    assert (run.readings / "errors.log").read_text() == ""
    assert {path.name for path in run.readings.glob("*attempt*")} == {f"node{node}-attempt1.parquet" for node in (0, 1)}
    with readings.view(run.readings) as database:
        found = database.execute(
            "SELECT node, rank, count(*), count(rss_bytes) FROM reading GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    assert [row[:2] for row in found] == [(0, 0), (0, 1), (0, None), (1, 2), (1, 3), (1, None)]
    assert all(count > 100 for _, _, count, _ in found)
    assert [memory > 100 for *_, memory in found] == [True, True, False] * 2
    for node in (0, 1):
        began, ended = read_lines(run.reading_notes(node))
        assert (began["event"], ended["event"]) == ("began", "ended")
