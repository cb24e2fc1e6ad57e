"""The table of the runs of a study."""

import json
from pathlib import Path

import pytest

from launch.errors import Refusal
from workloads.mnist import table


def study(folder: Path, runs: list[tuple[str, float | None]]) -> Path:
    """As the launcher leaves it; a run without an accuracy is not finished."""
    index = []
    for number, (words, accuracy) in enumerate(runs):
        run = folder / f"n1-{number}"
        run.mkdir(parents=True)
        index.append({"run": run.name, "nodes": 1, "values": {}, "repeat": 1})
        entry = ["-m", "workloads.training.train", "workloads.mnist", "--network=fc", *words.split()]
        (run / "run.json").write_text(json.dumps({"entry": entry, "seed": 0}))
        if accuracy:
            metrics = {"accuracy": accuracy, "moved_accuracy": 0.77}
            (run / "result.json").write_text(json.dumps({"metrics": metrics, "steps": 84, "ranks": 2}))
    (folder / "study.json").write_text(json.dumps({"runs": index}))
    return folder


def test_what_varies_is_a_column_and_each_is_beside_the_smallest_batch_of_its_optimizer(tmp_path, capsys):
    runs = [("--batch=64", 0.982), ("--batch=4096", 0.981), ("--batch=64 --optimizer=lars --lr=5", 0.985),
            ("--batch=4096 --optimizer=lars --lr=20", 0.9875), ("--batch=512", None)]  # fmt: skip
    table.main([str(study(tmp_path / "one", runs))])
    assert capsys.readouterr().out.splitlines() == [
        "network fc, precision float32, ranks 2, epochs 12, seed 0",
        "",
        "| optimizer | batch | learning rate | steps | accuracy | of moved images | points to the smallest batch |",
        "|---|---|---|---|---|---|---|",
        "| sgd | 128 | 0.1 | 84 | 98.20% | 77.0% |  |",
        "| sgd | 8,192 | 0.1 | 84 | 98.10% | 77.0% | -0.10 |",
        "| lars | 128 | 10 | 84 | 98.50% | 77.0% |  |",
        "| lars | 8,192 | 40 | 84 | 98.75% | 77.0% | +0.25 |",
        "",
        "1 other runs are not finished",
    ]


def test_what_is_no_study_is_refused(tmp_path):
    with pytest.raises(Refusal, match="is not a study: give the folder of a study of workloads.mnist"):
        table.main([str(tmp_path)])
    with pytest.raises(Refusal, match=r"is finished: wait for some \(1 are not\)"):
        table.main([str(study(tmp_path / "none", [("--batch=64", None)]))])
