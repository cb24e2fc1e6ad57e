"""What verbs say to programs: the facts that they say to people."""

import json
from pathlib import Path

import pytest
from launched import facts
from plans import LAPTOP, plan, run_of

from launch import __main__ as command
from launch.cli import cancel, sites
from launch.cli.doctor import doctor
from launch.errors import Refusal
from launch.plan.request import Request
from launch.record.writing import publish_json

SLURM = ["--site=perlmutter", "-A", "m1", "--time=30", "--dry-run", "--name=x"]


@pytest.mark.parametrize("words", [["--nodes=16"], ["--nodes=1,2", "--repeats=3"], ["--sweep=lr=1e-3,1e-2"]])
def test_a_dry_run(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no sbatch to be asked
    asked = [*SLURM, f"--runs={tmp_path}", *words]
    assert command.main([*asked, "tiny"]) == 0
    said = capsys.readouterr().out
    assert command.main([*asked, "--json", "tiny"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["facts"].items() <= (facts(said) | {"site": told["facts"]["site"]}).items()
    assert told["kind"] == ("run" if words == ["--nodes=16"] else "study") and told["folder"] == str(tmp_path / "x")
    assert all(script in said and "#SBATCH --account=m1" in script for script in told["scripts"]) and told["scripts"]
    assert [row["nodes"] for row in told["points"]] == {"run": [], "study": ["1", "2"] if "--repeats=3" in words else ["1", "1"]}[told["kind"]]  # fmt: skip
    assert {run["plan"]["time_s"] for run in told["runs"]} == {1800} and not (tmp_path / "x").exists()


def test_the_dry_run_of_a_workflow(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "w.toml").write_text(
        '[[stage]]\nname = "a"\nworkload = "tiny"\n[[stage]]\nname = "b"\nafter = ["a"]\nworkload = "tiny"\njob = {repeats = 2}\n'
    )
    assert command.main([*SLURM, "--json", f"--runs={tmp_path}", str(tmp_path / "w.toml")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(each["stage"], each["after"], each["kind"]) for each in told["stages"]] == [
        ("a", [], "run"),
        ("b", ["a"], "study"),
    ]
    assert "<job of a>" in told["stages"][1]["scripts"][0] and told["cost"] == 6.0


def test_it_is_for_a_dry_run(tmp_path: Path):
    with pytest.raises(Refusal, match="--json is for the plan of a dry run"):
        command.main(["--json", f"--runs={tmp_path}", "tiny"])
    assert not list(tmp_path.iterdir())


def test_doctor_sites_and_cancel(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    def finding(level: str) -> doctor.Finding:
        return doctor.Finding(level, "text", "do it")

    monkeypatch.setattr(doctor, "CHECKS", {"a": lambda: finding("ok"), "b": lambda: finding("wrong")})
    assert doctor.main(["--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ready"] is False and told["checks"][1] == {
        "check": "b",
        "level": "wrong",
        "text": "text",
        "fix": "do it",
    }
    assert sites.main(["--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in told["sites"] if each["here"]] == [told["here"]] and len(told["sites"]) > 6
    assert sites.main(["perlmutter", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gpus_per_node"] == 4
    done = run_of(plan(Request(), LAPTOP), tmp_path / "r")
    publish_json(done.result_json, {"status": "done"})
    assert cancel.main([str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == [{"path": str(done.path), "before": "done", "became": "not running", "saved_step": None}]
