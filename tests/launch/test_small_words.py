"""Words that the launcher says of names, folders and studies, as a user meets them."""

import dataclasses
from pathlib import Path

import pytest
from launched import launch
from plans import LAPTOP, plan

from launch import errors
from launch.errors import Refusal
from launch.plan.target import workload
from launch.plan.target.workload import Target
from launch.submit import describe

LOCAL = ("--backend", "local", "--sample-hz", 0)


@pytest.mark.parametrize("name", ["nosuch.sh", "nosuch"])
def test_a_name_of_nothing_is_no_reason_to_list_the_verbs(name: str):
    with pytest.raises(Refusal) as refused:
        workload.find(name, (), verbs=("resume", "extend", "cancel"))
    assert "extend" not in str(refused.value) and "workloads.mnist" in str(refused.value)
    with pytest.raises(Refusal, match="did you mean 'resume'"):
        workload.find("resmue", (), verbs=("resume", "extend", "cancel"))


def test_a_fact_of_the_plan_is_a_line():
    planned = dataclasses.replace(plan(here=LAPTOP, target=Target("program", "/home/u/a\nb.sh")))
    assert describe.text({"program": planned.workload, "site": "x"}).splitlines() == [
        "program        /home/u/a\\nb.sh",
        "site           x",
    ]


def test_a_page_is_named_where_it_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert errors.page("your_program.md") == " (docs/your_program.md)"
    monkeypatch.setattr(errors, "HOME", str(tmp_path))  # as in a wheel
    assert errors.page("your_program.md") == ""


def test_a_folder_with_a_main_is_run_as_python_runs_it(tmp_path: Path):
    app = tmp_path / "app"
    app.mkdir()
    (app / "__main__.py").write_text("import parts, sys; print('words', sys.argv[1:], parts.name)")
    (app / "parts.py").write_text("name = 'of the folder'")
    done = launch(*LOCAL, "--runs", tmp_path / "runs", app, "--x", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "words ['--x', '1'] of the folder" in done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("app-n1-")


def test_a_package_is_a_module_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "tool").mkdir()
    for name in ("__init__.py", "__main__.py"):
        (tmp_path / "tool" / name).touch()
    monkeypatch.chdir(tmp_path)
    assert workload.find("tool", ()).kind == "module"
    with pytest.raises(Refusal, match="-m"):
        workload.find("./tool", ())


def test_a_study_of_which_the_first_runs_all_fail_says_so(tmp_path: Path):
    (tmp_path / "bad.py").write_text("raise ValueError('no data')")
    done = launch(*LOCAL, "--runs", tmp_path, "--name", "s", "--repeats", 4, tmp_path / "bad.py")
    assert done.returncode == 1
    assert done.stdout.count("the first 3 runs have all failed in the same way, and 1 are still to come") == 1
