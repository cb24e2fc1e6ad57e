"""From one command to the report of a study, on a real Slurm: what the launcher, the loop and the sampler write is what it reads."""

import json
from pathlib import Path

import pytest
from launched import launch
from slurm.fixtures import Cluster

from launch.record.rundir import RunDir
from profiling.__main__ import main

# Its steps are over within a third of a second, so they are sampled often.
WORKFLOW = """
[job]
time = 10
[[stage]]
name = "weak"
workload = "tiny"
job = { nodes = [1, 2], repeats = 1, pack = true, sample_hz = 50 }
options = { epochs = 2, batch = 16, threads = 1, width = 16, lr = 0.01, trace = "20..22", trace_ranks = "first-of-node" }
[[stage]]
name = "report"
after = ["weak"]
workload = "profiling"
arguments = ["report", "{weak}", "--remark", "emulated nodes of one machine"]
job = { nodes = 1, ranks_per_node = 1, sample_hz = 0 }
"""


@pytest.mark.slow
def test_a_study_to_its_report_and_its_log(clean_slurm: Cluster, capsys: pytest.CaptureFixture, tmp_path: Path):
    (tmp_path / "workflow.toml").write_text(WORKFLOW)
    made = launch("--runs", tmp_path, "--name=c", tmp_path / "workflow.toml", wait=900)
    assert made.returncode == 0, made.stdout + made.stderr
    folder = tmp_path / "c" / "weak"
    assert (folder / "report" / "index.html").is_file()
    document = json.loads((folder / "report" / "report.json").read_text())
    assert document["kind"] == "weak" and document["left_out"] == []
    assert "workflow.toml" in document["about"]["command"] and str(tmp_path) not in document["about"]["command"]
    assert "emulated nodes" in document["about"]["remark"] and "backend slurm" in document["about"]["where"]
    one, two = document["rows"]
    assert [(row["workers"], row["nodes"], row["repeats"], row["global_batch"]) for row in (one, two)] == [(1, 1, 1, 16), (2, 2, 1, 32)]  # fmt: skip
    for row in document["rows"]:
        assert 0 < row["input_share"] < 1 and 0 < row["communication_share"] < 1
        assert 0 < row["pop_parallel_efficiency"] <= row["pop_load_balance"] <= 1
        assert row["peak_rss_bytes"] > 10**8 and 0 < row["mfu"] < 1
        assert 0 < row["recording_share"] < 1 and 0 < row["sampler_share"] < 0.5
        assert row["target_reached"] == 1 and row["seconds_to_target"] > 1
    assert {"import", "train"} <= set(document["points"][0]["phases_s"])
    # Three steps, the first rank of each node; the raw traces lie where TensorBoard's Profile tab finds those of each point.
    raw = {str(path.relative_to(folder)) for path in folder.glob("*/traces/plugins/profile/*/*.xplane.pb")}
    where = "{}/traces/plugins/profile/attempt1/rank{}.xplane.pb"
    assert raw == {where.format("n1-r1", 0), where.format("n2-r1", 0), where.format("n2-r1", 1)}
    assert [(point["workers"], point["steps"]) for point in document["traced"]] == [(1, 3), (2, 6)]
    assert document["traced"][1]["shares"]["communication"] > 0 == document["traced"][0]["shares"]["communication"]

    run = RunDir(folder / "n2-r1")
    assert [event["step"] for event in run.events("evaluated")] == [32, 64]
    (saved,) = run.events("checkpointed")
    assert saved["step"] == 64 and saved["seconds"] > 0
    assert main(["mllog", str(run.path)]) == 0
    lines = [json.loads(line.removeprefix(":::MLLOG ")) for line in capsys.readouterr().out.splitlines()]
    keys = [line["key"] for line in lines]
    assert keys.index("init_stop") < keys.index("run_start") < keys.index("epoch_start") < keys.index("run_stop")
    assert [line["metadata"]["epoch_num"] for line in lines if line["key"] == "epoch_stop"] == [1, 2]
    assert lines[-1]["metadata"]["status"] == "success"


@pytest.mark.slow
def test_the_study_of_the_example_report(clean_slurm: Cluster, tmp_path: Path):
    """jobs/cfd_resnet_report.toml: 1, 2, 4 and 8 nodes, three repeats, from its flows to its report."""
    made = launch("--runs", tmp_path, "--name=c", "jobs/cfd_resnet_report.toml", wait=3600)
    assert made.returncode == 0, made.stdout + made.stderr
    document = json.loads((tmp_path / "c" / "weak" / "report" / "report.json").read_text())
    assert [(row["nodes"], row["repeats"], row["global_batch"]) for row in document["rows"]] == [(1, 3, 8), (2, 3, 16), (4, 3, 32), (8, 3, 64)]  # fmt: skip
    assert [point["steps"] for point in document["traced"]] == [12, 24, 48, 96]
    for point in document["traced"][1:]:
        # What the records call own is what the traces call computing, but for the update and what waits for a core.
        (timed,) = (row for row in document["points"] if row["workers"] == point["workers"])
        own = (timed["step_s"]["input"] + timed["step_s"]["gradients"]) / sum(timed["step_s"].values())
        assert own > 0.7 * point["shares"]["compute"]
