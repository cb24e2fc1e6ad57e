"""The list of the workloads that come along."""

from pathlib import Path

import pytest
from launched import launch

from launch.cli import workloads
from launch.errors import Refusal
from launch.plan.target import workload


def test_each_workload_says_what_it_does_needs_and_takes():
    said = [workloads.line(package) for package in workloads.packages()]
    assert {*workload.known(), "workloads.chaos", "workloads.trees"} == {name for name, *_ in said}
    for name, *texts in said:
        assert all(4 < len(text) < 120 for text in texts), name
        assert any(sign.isdigit() for sign in texts[-1]), name
    listed = launch("workloads")
    assert listed.returncode == 0 and max(map(len, listed.stdout.splitlines())) <= 80
    assert all(text in " ".join(listed.stdout.split()) for line in said for text in line)


def test_a_docstring_without_the_lines_is_no_error(tmp_path: Path):
    (tmp_path / "__init__.py").write_text('"""Waves.\n\nMore.\n"""\n')
    assert workloads.line(tmp_path)[1:] == ("Waves", "?", "?")
    (tmp_path / "__init__.py").write_text("")
    assert workloads.line(tmp_path)[1:] == ("", "?", "?")


def test_it_takes_no_arguments():
    with pytest.raises(Refusal, match="takes no arguments"):
        workloads.main(["mnist"])
