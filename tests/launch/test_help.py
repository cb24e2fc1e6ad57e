"""What a user reads who asks for help: every example runs, and no suggestion is nonsense."""

import importlib
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from launched import ROOT, environment

from launch import START
from launch.cli.help import examples
from launch.cli.verbs import VERBS
from launch.errors import near
from launch.plan.options import flags
from launch.plan.request import Request

PROGRAM = """
import argparse, time
import rankloop
parser = argparse.ArgumentParser()
parser.add_argument("--epochs"), parser.add_argument("--lr")
parser.parse_args()
for _ in rankloop.steps(range(5), examples=8):
    time.sleep(0.01)
rankloop.result(loss=0.1)
"""
TABLE = "workers,throughput\n1,100\n2,190\n4,350\n8,600\n"
# What takes minutes, needs what is not there, or would not end; its words are checked all the same.
NOT_RUN = {
    "score scaling scaling": "docs/tutorial.md",
    "completion bash >> ~/.bash_completion": "tests/launch/test_completion.py",
    "demo": "tests/launch/test_demo.py",
    "sites new --name mine > mine.toml": "tests/slurm/test_sites_new.py",
    "mllog scaling/n2-r1 --benchmark deepcam --org us": "tests/profiling/test_report_forms.py",
    "trace profile.xplane.pb --top 20": "tests/profiling/test_trace.py",
    "--nodes 2 workloads.mnist --epochs 3 --network cnn": "--dry-run",
    "--nodes 1,2,4 --sweep lr=0.01,0.1 workloads.mnist": "--dry-run",
    "--nodes 2 my_model.py": "--dry-run",
}


def rankloop(folder: Path, words: str, *more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, START, *more, *shlex.split(words)],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def test_every_verb_has_examples():
    assert set(VERBS) | {"", "WORKLOAD"} == set(examples.EXAMPLES)
    for verb, of in examples.EXAMPLES.items():
        assert of
        if verb in VERBS and hasattr(module := importlib.import_module(VERBS[verb][0]), "Options"):
            known = {flag for field in module.Options.__dataclass_fields__.values() for flag in flags(field)}
            given = [word for words, _ in of if words.startswith(verb) for word in words.split() if word[0] == "-"]
            assert known >= set(given)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples name: a study called scaling, and two more."""
    here = tmp_path_factory.mktemp("examples")
    (here / "train.py").write_text(PROGRAM)
    (here / "table.csv").write_text(TABLE)
    (here / "measured.csv").write_text(f"{TABLE}64,3000\n")  # which an example predicts
    for name in ("scaling", "before", "after"):
        done = rankloop(here, f"--backend local --sample-hz 0 --nodes 1,2 --repeats 3 --name {name} train.py")
        assert done.returncode == 0, done.stdout + done.stderr
    return here


@pytest.mark.slow
def test_the_examples_run(folder: Path):
    wrong = []
    for verb, of in examples.EXAMPLES.items():
        for words, _ in of:
            if words in NOT_RUN and NOT_RUN[words] != "--dry-run":
                assert (ROOT / NOT_RUN[words]).exists()
                continue
            begins = words.startswith("-")
            more = ["--dry-run"] if begins and "--dry-run" not in words else []
            more += ["--backend", "local"] if begins and "--site" not in words else []
            done = rankloop(folder, words, *more)
            finished = verb in ("resume", "cancel") and "finished" in done.stdout + done.stderr
            fails_on_purpose = "--fail-if-slower" in words and done.returncode == 1
            if done.returncode and not (finished or fails_on_purpose) or "Traceback" in done.stderr:
                wrong.append((words, done.stdout[-300:] + done.stderr))
    assert not wrong
    assert not (folder / "runs" / "scaling").exists()  # the last example has removed it


@pytest.mark.parametrize(
    ("given", "means"),
    [
        ("--node", "--nodes"), ("--partion", "--partition"), ("--gpus", "--gpus-per-node"), ("--dryrun", "--dry-run"),
        ("--num-nodes", "--nodes"), ("--acount", "--account"), ("--ntasks", "--ntasks-per-node"), ("--tiem", "--time"),
    ],
)  # fmt: skip
def test_a_slip_is_understood(given: str, means: str):
    known = [flag for field in Request.__dataclass_fields__.values() for flag in flags(field)]
    assert near(given, known) == f"did you mean {means!r}?"


@pytest.mark.parametrize(
    "given", ["--lr", "--output", "--version", "--wall", "--cpu", "--image", "remove", "test", "train", "kill"]
)
def test_letters_in_common_are_no_suggestion(given: str):
    known = [
        flag for field in Request.__dataclass_fields__.values() for flag in flags(field) if flag != "--cpus-per-task"
    ]
    assert near(given, [*known, *VERBS]) == ""


def test_help_is_a_word_too(tmp_path: Path):
    for words, same in (("help", "--help"), ("help report", "report --help")):
        assert rankloop(tmp_path, words).stdout == rankloop(tmp_path, same).stdout != ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--lr 0.1 workloads.mnist", "--lr is an option of workloads.mnist: put it after the name"),
        ("--widht 3 train.py", "If it is one of train.py, put it after the name"),
        ("--mem=4G train.py", "--sbatch-arg=--mem=4G"),
        ("--gres gpu:2 train.py", "pass it on: --sbatch-arg=--gres=VALUE\n"),
        ("--exclusive train.py", "pass it on: --sbatch-arg=--exclusive\n"),
        ("--output log train.py", "the job's log is logs/job.log of the run: rankloop logs RUN --job"),
        ("-e=log workloads.mnist", "-e is not a job option: the job's log is logs/job.log of the run"),
        ("--chdir=/tmp train.py", "the ranks run in the folder that the command is given in"),
        ("-n 4 train.py", "-n is not a job option: the ranks are --nodes times --ntasks-per-node: give --nodes 1 --ntasks-per-node 4"),
        ("-n4 train.py", "give --nodes 1 --ntasks-per-node 4"),
        ("--ntasks=4 workloads.mnist", "give --nodes 1 --ntasks-per-node 4"),
        (f"{ROOT}/jobs/cfd_resnet_workflow.toml --dry-run", "--dry-run is a job option: put it before what is run"),
        ("workloads.mnist --nodes 2", "--nodes is a job option: put it before what is run: rankloop --nodes ... workloads"),
        ("workloads.mnist -N4", "put it before what is run: rankloop -N4 workloads.mnist"),
        (f"{ROOT}/jobs/mnist.toml --repeats=2", "put it before what is run: rankloop --repeats=2 "),
    ],
)  # fmt: skip
def test_an_option_in_the_wrong_place_is_told_its_place(tmp_path: Path, words: str, says: str):
    (tmp_path / "train.py").write_text("")
    done = rankloop(tmp_path, words)
    assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_a_job_option_among_the_arguments_of_a_program_is_noted_unless_the_program_has_it(tmp_path: Path):
    (tmp_path / "train.py").write_text("import sys\n")
    (tmp_path / "has.py").write_text("parser.add_argument('--nodes')\n")
    line = "--nodes is passed to the program"
    assert line in rankloop(tmp_path, "--backend local --dry-run train.py --nodes 2").stdout
    assert line not in rankloop(tmp_path, "--backend local --dry-run has.py --nodes 2").stdout
    assert line not in rankloop(tmp_path, "--backend local --dry-run train.py --seed 2").stdout
    refused = rankloop(tmp_path, "--backend local train.py --dry-run")
    assert refused.returncode == 2 and "put it before" in refused.stderr and not (tmp_path / "runs").exists()
