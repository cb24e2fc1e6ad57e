"""Completion, in the real shells: what the user sees after pressing the tabulator."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launched import environment

from launch import START
from launch.cli.help.completion import SCRIPTS, fitting


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study, and the command on the path of its shells."""
    here = tmp_path_factory.mktemp("completion")
    for run in ("scaling/n1-r1", "scaling/n2-r1", "single"):
        (here / "runs" / run).mkdir(parents=True)
        (here / "runs" / run / "run.json").write_text("{}")
    (here / "train.py").touch()
    (here / "bin").mkdir()
    command = here / "bin" / "rankloop"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {START} "$@"\n')
    command.chmod(0o755)
    return here


def variables(folder: Path) -> dict[str, str]:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return environment(PATH=path, HOME=str(folder), TERM="dumb", PS1="$ ", ZDOTDIR=str(folder), RANKLOOP_DEFAULTS="")


def typed(folder: Path, shell: list[str], setup: str, keys: str, until: str) -> str:
    """What a shell shows after some keys."""
    pid, screen = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvpe(shell[0], shell, variables(folder))
    seen = ""

    def read(wanted: str) -> None:
        nonlocal seen
        end = time.monotonic() + 30
        while wanted not in seen and time.monotonic() < end:
            if select.select([screen], [], [], 0.5)[0]:
                seen += os.read(screen, 65536).decode(errors="replace")

    try:
        os.write(screen, f"{setup}; echo RE''ADY\n".encode())
        read("READY")
        seen = ""
        os.write(screen, keys.encode())
        read(until)
        return seen
    finally:
        os.kill(pid, 9)
        os.close(screen)
        os.waitpid(pid, 0)


SHELLS = {
    "bash": (["bash", "--norc", "-i"], 'eval "$(rankloop completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], 'autoload -U compinit; compinit -u -D; eval "$(rankloop completion zsh)"'),
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("keys", "until"),
    [
        ("rankloop resu\t", "rankloop resume "),
        ("rankloop --max-a\t", "--max-attempts "),
        ("rankloop --site perl\t", "perlmutter "),
        ("rankloop status scaling/n1\t", "scaling/n1-r1 "),
        ("rankloop status sin\t", "single "),
        ("rankloop --nodes 2 trai\t", "train.py "),
    ],
)
def test_a_shell_completes(folder: Path, shell: str, keys: str, until: str):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    assert until in typed(folder, *SHELLS[shell], keys, until)


def test_fish_completes(folder: Path):
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    for words, wanted in (("resu", "resume"), ("--site perl", "perlmutter"), ("logs scaling/n", "scaling/n2-r1")):
        code = f"rankloop completion fish | source; complete -C 'rankloop {words}'"
        done = subprocess.run(
            ["fish", "-c", code], cwd=folder, env=variables(folder), capture_output=True, text=True, timeout=60
        )
        assert wanted in done.stdout.split(), done.stderr


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["rep"], ["report"]),
        (["--backend", ""], ["flux", "local", "pbs", "slurm"]),
        (["--site", "=", "lumi"], ["lumi-g"]),
        (["workloads.mnist", "--net"], ["--network"]),
        (["workloads.mnist", "--decay", "c"], ["constant", "cosine"]),
        (["train.py", "--no"], []),
        (["resume", "--code", "s"], ["submitted"]),
        (["sites", "ne"], ["new"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
        (["--nodes", ""], []),
    ],
)
def test_what_fits(folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], found: list[str]):
    monkeypatch.chdir(folder)
    assert fitting(words) == found


def test_the_script_for_bash_is_clean_and_help_in_the_words_is_completed_too(folder: Path):
    checked = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([checked, "--shell=bash", "-"], input=SCRIPTS["bash"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    words = [sys.executable, START, "completion", "words", "--", "--help", "resu"]
    done = subprocess.run(words, cwd=folder, env=variables(folder), capture_output=True, text=True)
    assert done.stdout == "resume\n"
