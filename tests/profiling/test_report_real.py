"""From real trainings to their report: what the launcher, the loop and the sampler write is what the report reads."""

import json

import pytest
from launched import launch

from profiling.__main__ import main

pytestmark = pytest.mark.slow


def test_from_runs_to_the_report_and_the_log(capsys, tmp_path):
    words = ["tiny", "--epochs=2", "--batch=16", "--threads=1", "--width=16"]
    made = launch("--nodes=1,2", "--sample-hz=5", "--runs", tmp_path, "--name=real", *words, wait=600)
    assert made.returncode == 0, made.stdout + made.stderr
    folder = tmp_path / "real"
    assert main(["predict", str(folder), "--workers", "4"]) == 0
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.endswith(f"report: {folder}/report/index.html\n")

    document = json.loads((folder / "report" / "report.json").read_text())
    assert document["kind"] == "weak" and document["left_out"] == []
    assert "launch --nodes=1,2" in document["about"]["command"] and str(tmp_path) not in document["about"]["command"]
    one, two = document["rows"]
    assert (one["workers"], two["workers"], two["global_batch"]) == (1, 2, 32)
    for row in document["rows"]:
        assert 0 < row["input_share"] < 1 and 0 < row["communication_share"] < 1
        assert 0 < row["pop_parallel_efficiency"] <= row["pop_load_balance"] <= 1
        assert row["peak_rss_bytes"] > 10**8 and 0 < row["mfu"] < 1
    assert {"import", "train"} <= set(document["points"][0]["phases_s"])
    assert document["foretold"][0]["workers"] == 4 and document["foretold"][0]["measured"] is None

    assert main(["mllog", str(folder / "n2-r1")]) == 0
    lines = [json.loads(line.removeprefix(":::MLLOG ")) for line in capsys.readouterr().out.splitlines()]
    keys = [line["key"] for line in lines]
    assert keys.index("init_stop") < keys.index("run_start") < keys.index("epoch_start") < keys.index("run_stop")
    assert [line["metadata"]["epoch_num"] for line in lines if line["key"] == "epoch_stop"] == [1, 2]
    assert lines[-1]["metadata"]["status"] == "success"
