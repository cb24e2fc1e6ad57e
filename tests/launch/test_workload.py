"""What is to be run: workloads, modules and scripts, and what is no such thing."""

import os
import re
import sys
from pathlib import Path

import pytest
from plans import EIGHT_CORES, LAPTOP, NOON

import launch
from launch.errors import Refusal
from launch.plan.request import Request
from launch.plan.resolve import resolve
from launch.plan.target import modules, workload

WORKLOAD = """
from dataclasses import dataclass

@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    width: int = 64  # channels

def build(config, rank):
    raise AssertionError("the launcher builds nothing")
"""

FILES = {
    "waves.py": WORKLOAD,
    "broken.py": WORKLOAD + "\nimport nothing_of_the_kind\n",
    "raising.py": WORKLOAD + "\n1 / 0\n",
    "undecorated.py": WORKLOAD.replace("@dataclass(frozen=True, slots=True, kw_only=True)", ""),
    "needy.py": WORKLOAD.replace("width: int = 64", "width: int"),
    "wrong.py": "def build(:\n",
    "plain.py": "raise AssertionError('a module is not imported by the launcher')\n",
    "nulls.py": "a = 1\0\n",
    "solver/__init__.py": "",
    "solver/__main__.py": "print('hello')",
    "solver/part.py": "pass",
    "library/__init__.py": "",
    "packaged/__init__.py": WORKLOAD,
    "packaged/__main__.py": "",
    "damaged/__init__.py": "import nothing_of_the_kind",
    "damaged/part.py": "",
    "divides/__init__.py": "1 / 0",
    "divides/part.py": "",
    "my script.py": "print(1)",
    "tool": "print(1)",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules, in which the launcher is started."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {Path(file).parts[0].removesuffix(".py") for file in FILES}:
            del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "kind", "short"),
    [
        ("waves", "workload", "waves"),
        ("packaged", "workload", "packaged"),
        ("plain", "module", "plain"),
        ("solver", "module", "solver"),
        ("solver.part", "module", "part"),
        ("json.tool", "module", "tool"),
        ("my script.py", "script", "my script"),
        ("./tool", "script", "tool"),
        ("solver/part.py", "script", "part"),
    ],
)
def test_kinds(here: Path, name: str, kind: str, short: str):
    arguments = ["--width", "3"] if kind == "workload" else ["--anything", "-h"]
    found = workload.find(name, arguments)
    assert (found.kind, found.short_name, found.arguments) == (kind, short, tuple(arguments))
    assert found.name == (str((here / name).absolute()) if kind == "script" else name)
    assert (found.config.width if kind == "workload" else found.config) == (3 if kind == "workload" else None)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("wavse.py", "there is no script or program 'wavse.py'"),
        ("./solver", "./solver is a folder: give the program in it, or -m"),
        ("workloads.cfd_resnte", "there is no workload or module 'workloads.cfd_resnte'"),
        ("workloads.cfd_resnte", "did you mean 'workloads.cfd_resnet'?"),
        ("resmue", "did you mean 'resume'?"),
        ("solver.prat", "there is no workload or module 'solver.prat'"),
        ("solver.part.deep", "there is no workload or module 'solver.part.deep'"),
        ("library", "'library' is a package without a __main__"),
        ("sys", "'sys' is not a module that can be run"),
        ("wrong", "wrong.py, line 1: "),
        ("./wrong.py", "wrong.py, line 1: "),
        ("nulls", "null bytes"),
        ("broken", "cannot import broken (ModuleNotFoundError: No module named 'nothing_of_the_kind')"),
        ("raising", "cannot import raising (ZeroDivisionError: division by zero): fix it, then try: python -c"),
        ("damaged.part", "cannot import damaged (ModuleNotFoundError: No module named 'nothing_of_the_kind')"),
        ("divides.part", "cannot import divides (ZeroDivisionError"),
        ("undecorated", "the Config of undecorated is not a dataclass"),
        ("needy", "needy needs --width (channels): give it a value"),
        ("", "cannot find ''"),
        (".", "cannot find '.'"),
    ],
)
def test_refusals(here: Path, name: str, says: str):
    with pytest.raises(Refusal) as refusal:
        workload.find(name, [], ("resume", "doctor"))
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_workload_by_its_path(here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """In this folder, below it, and in another one, alone or in a package."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in (
        "ripples.py",
        "sea/__init__.py",
        "sea/deep/__init__.py",
        "sea/deep/swell.py",
        "my-net.py",
        "waves.py",
        "json.py",
    ):
        (elsewhere / name).parent.mkdir(exist_ok=True)
        (elsewhere / name).write_text("" if name.endswith("__init__.py") else WORKLOAD)
    (here / "below").mkdir()
    (here / "below" / "foam.py").write_text(WORKLOAD)
    monkeypatch.setattr(launch, "USERS_PATH", launch.USERS_PATH[:])
    monkeypatch.setattr(modules, "USERS_PATH", launch.USERS_PATH)
    for path, name, folder in [
        ("waves.py", "waves", ""), ("./below/foam.py", "below.foam", ""), (str(here / "waves.py"), "waves", ""),
        (str(elsewhere / "ripples.py"), "ripples", str(elsewhere)), (str(elsewhere / "sea/deep/swell.py"), "sea.deep.swell", str(elsewhere)),
        (os.path.relpath(elsewhere / "ripples.py"), "ripples", str(elsewhere)),
    ]:  # fmt: skip
        found = workload.find(path, ["--width", "3"])
        assert (found.kind, found.name, found.folder, found.config.width) == ("workload", name, folder, 3)
        assert workload.kind(path) == "workload" and workload.config_class(path).__name__ == "Config"
        assert resolve(Request(), 1, LAPTOP, found, EIGHT_CORES, NOON).pythonpath[:1] == ((folder,) if folder else ())
    for path, says in [
        ("my-net.py", "'my-net' cannot be one: rename it"),
        ("waves.py", f"cd {elsewhere}"),
        ("json.py", "rename it"),
    ]:
        with pytest.raises(Refusal, match=re.escape(says)):
            workload.find(str(elsewhere / path), [])


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ("import logging\nlog = logging.getLogger(__name__)\nDEFAULT = Config()\nBY_NAME = {'a': build}", "workload"),
        ("import sys\nsys.path.append('lib')\ntry:\n    import cupy\nexcept ImportError:\n    cupy = None", "workload"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy", "workload"),
        ("if __name__ == '__main__':\n    print(1)", "script"), ("main()", "script"), ("print(1)", "script"),
        ("model = build(Config(), None)", "script"), ("import fire\nfire.Fire(Config)", "script"),
        ("for _ in range(3):\n    pass", "script"), ("import sys\ntry:\n    sys.exit(main())\nfinally:\n    pass", "script"),
    ],
)  # fmt: skip
def test_a_file_that_defines_a_workload_and_prepares_for_it_is_one(here: Path, more: str, kind: str):
    (here / "waves.py").write_text(f"{WORKLOAD}def main(): pass\n{more}\n")
    assert workload.kind("waves.py") == kind


def test_a_script_beside_a_file_of_its_name_is_not_run(here: Path):
    """For Python, run.sh is the module sh of run, and to look for it would be to run run.py."""
    (here / "run.py").write_text("open('ran', 'w')")
    (here / "run.sh").write_text("#!/bin/sh\n")
    (here / "run.sh").chmod(0o755)
    assert workload.find("run.sh", []).kind == "program"
    for name in ("run.slurm", "run.py.old", "solver.part.deep"):
        with pytest.raises(Refusal, match="there is no workload or module"):
            workload.find(name, [])
    assert not (here / "ran").exists() and "run" not in sys.modules


def test_options_of_a_workload_are_refused_in_its_name(here: Path):
    with pytest.raises(Refusal, match="unknown option --widht of waves: did you mean '--width'"):
        workload.find("waves", ["--widht", "3"])


def test_help_is_for_whom_it_is_asked(here: Path):
    assert workload.asks_for_help(["waves", "--help"])
    assert workload.asks_for_help(["waves", "--width", "3", "-h"])
    assert workload.asks_for_help(["./tool", "--help"])
    assert not workload.asks_for_help(["./tool", "-h", "localhost"])  # an option of the program
    assert not workload.asks_for_help(["waves"])
    assert not workload.asks_for_help([])
    assert workload.kind("needy") == "workload"


def test_the_workloads_that_come_along():
    assert "workloads.cfd_resnet" in workload.known()
    for name in workload.known():
        assert workload.find(name, []).kind == "workload"
