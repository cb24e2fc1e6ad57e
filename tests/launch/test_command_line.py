"""python -m launch as a user types it: refusals of one line that leave nothing behind, help, dry runs, and the house's rules."""

import ast
import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from launched import ROOT, environment
from plans import LAPTOP, plan, run_of

from launch import START, VERSION
from launch.cli import resume
from launch.errors import Refusal
from launch.plan.shape import Machine
from launch.record.writing import publish_json
from launch.submit import states

HELLO = "print('hello')\n"
WORKLOAD = """
from dataclasses import dataclass

@dataclass(frozen=True, kw_only=True)
class Config:
    width: int = 1  # of it

def build(config, rank):
    raise AssertionError
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a script, in which the launcher is started."""
    (tmp_path / "hello.py").write_text(HELLO)
    (tmp_path / "wrong.py").write_text("def (\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "old").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "ours.toml").write_text("gpu_per_node = 4\n")
    return tmp_path


def launch(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "workloads")])
    return subprocess.run(
        [sys.executable, "-m", "launch", *words],
        cwd=folder,
        env=environment(PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1", **env),
        capture_output=True,
        text=True,
        timeout=60,
    )


def tree(folder: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime for path in folder.rglob("*")}


LOCAL = ("--backend", "local")
REFUSED = {
    "nothing": ([], "nothing to run is given"),
    "no workload": (["--nodes", "2"], "nothing to run is given: give a program, one of"),
    "unknown workload": (["workloads.cfd_resnte"], "did you mean 'workloads.cfd_resnet'?"),
    "unknown verb": (["resmue", "runs/a"], "did you mean 'resume'?"),
    "unknown script": (["hallo.py"], "there is no script or program 'hallo.py'"),
    "syntax error": (["wrong.py"], "wrong.py, line 1"),
    "unknown job option": (["--node", "2", "hello.py"], "unknown option --node: did you mean '--nodes'?"),
    "unknown workload option": (["tiny", "--epoch", "2"], "unknown option --epoch of tiny: did you mean '--epochs'?"),
    "value of a workload option": (["tiny", "--epochs", "many"], "option --epochs: 'many' is not a number"),
    "refused by the workload": (["tiny", "--accumulate", "3"], "--accumulate 3 does not divide a batch of 32 evenly"),
    "no value": (["--nodes"], "option --nodes needs a value"),
    "no number": (["--nodes", "two", "hello.py"], "'two' is not a whole number"),
    "unknown site": (["--site", "laptpo", "hello.py"], "there is no site 'laptpo': did you mean 'laptop'?"),
    "unknown key": (["--site", "./ours.toml", "hello.py"], "unknown key 'gpu_per_node': did you mean 'gpus_per_node'?"),
    "unknown backend": (["--backend", "lsf", "hello.py"], "'lsf' is not one of "),
    "nodes of 0": (["--nodes", "0", "hello.py"], "'0' is not a whole number of 1 or more"),
    "ranks of 0": (["--ranks-per-node", "0", "hello.py"], "'0' is not a whole number of 1 or more"),
    "too many": ([*LOCAL, "--nodes", "100000", "hello.py"], "100000 ranks are too many for this machine"),
    "walltime": (["--time", "soon", "hello.py"], "--time 'soon' is not a walltime"),
    "warning after the limit": (["--time", "1", "--warn", "60", "hello.py"], "--warn 60 is not before the time limit"),
    "existing name": ([*LOCAL, "--runs", "taken", "--name", "old", "hello.py"], "exists already: give another --name"),
    "a name too long": ([*LOCAL, "--runs", "taken", "--name", "a" * 250, "hello.py"], "give a shorter --name"),
    "unwritable": ([*LOCAL, "--runs", "/proc/self/runs", "hello.py"], "give a folder that can be written to with --runs"),
    "runs is a file": ([*LOCAL, "--runs", "file", "hello.py"], "(Not a directory)"),
    "name": ([*LOCAL, "--name", "../up", "hello.py"], "a run's name has letters"),
    "wait and detach": ([*LOCAL, "--wait", "--detach", "hello.py"], "--wait and --detach contradict each other"),
    "Slurm's option": ([*LOCAL, "-p", "gpu", "hello.py"], "-p is for Slurm, and the backend is local"),
    "no such GPUs": ([*LOCAL, "--gpus-per-node", "99", "hello.py"], "99 GPUs are more than the"),
    "no such GPUs to share": ([*LOCAL, "--share-gpus", "--gpus-per-node", "99", "hello.py"], "99 GPUs are more than the"),
    "more ranks than GPUs": (
        ["--site", "slurm", "--gpus-per-node", "2", "--ranks-per-node", "3", "hello.py"],
        "more than the 2 GPUs of a node: ask for 2 or fewer, or let ranks share GPUs with --share-gpus",
    ),
    "independent workload": ([*LOCAL, "--independent", "tiny"], "--independent is for programs"),
    "notebook": (["a.ipynb"], "a.ipynb is a notebook: make a script of it"),
    "no program": (["--", "nothing-of-the-kind"], "there is no program 'nothing-of-the-kind' on PATH"),
    "nothing behind dashes": (["--nodes", "2", "--"], "nothing follows --"),
    "folder": (["./taken"], "./taken is a folder"),
    "empty file": (["./file"], "./file is empty"),
    "resume of nothing": (["resume"], "resume needs a run: python -m launch resume RUN"),
    "resume of no run": (["resume", "empty"], "empty is not a run: it has no run.json"),
    "resume with an option": (["resume", "empty", "--nodes", "2"], "extend adds to a study"),
    "nothing for a verb": (["summary"], "summary needs a RUN: python -m launch summary RUN"),
    "one of two": (["score", "empty"], "and then a TABLE or a STUDY, and was given empty: python -m launch score PRED"),
    "too many for a verb": (["report", "a", "b"], "report needs a STUDY or a TABLE, and was given a b: "),
    "doctor with an option": (["doctor", "--fix"], "unknown option --fix of doctor"),
}  # fmt: skip


def refused(done: subprocess.CompletedProcess, says: str, status: int = 2) -> None:
    assert done.returncode == status, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("launch: ") and says in line


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_one_line_and_leave_nothing(here: Path, name: str):
    words, says = REFUSED[name]
    before = tree(here)
    refused(launch(here, *words), says)
    assert tree(here) == before


def test_ranks_may_share_gpus_where_it_is_said(here: Path):
    done = launch(
        here,
        "--site",
        "slurm",
        "--gpus-per-node",
        "2",
        "--ranks-per-node",
        "4",
        "--share-gpus",
        "--dry-run",
        "hello.py",
    )
    assert done.returncode == 0, done.stderr
    assert "1 node x 4 ranks = 4 ranks, 2 GPUs per node" in done.stdout


def test_without_slurm_the_submission_is_refused_and_nothing_stays(here: Path):
    before = tree(here)
    done = launch(here, "--backend", "slurm", "--runs", "empty", "hello.py", PATH=str(here / "empty"))
    refused(done, "there is no Slurm here (no sbatch", 3)
    assert tree(here).keys() == before.keys()


def test_resume_of_a_run_that_is_finished_or_damaged(here: Path):
    run = run_of(plan(here=LAPTOP, machine=Machine(2, 0)), here / "runs" / "a")
    publish_json(run.result_json, {"status": "done"})
    refused(launch(here, "resume", "runs/a"), "is finished: there is nothing left to run")
    run.result_json.unlink()
    publish_json(run.run_json, {"name": "a"})
    refused(launch(here, "resume", "runs/a"), "run.json lacks")
    run.run_json.write_text('{"name": ')
    refused(launch(here, "resume", "runs/a"), "run.json is damaged")
    assert run.events() == []


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_run_that_is_under_way_is_not_resumed(here: Path, monkeypatch, state: str):
    run = run_of(plan(here=LAPTOP, machine=Machine(2, 0)), here / "runs" / "a")
    known = states.look([run.path])[0][0]
    monkeypatch.setattr(states, "look", lambda paths, **_: ([dataclasses.replace(known, state=state)], ""))
    with pytest.raises(Refusal, match=f"/a is {state}: wait for its end, or end it: "):
        resume.main([str(run.path)])


def test_a_run_that_ends_while_its_scheduler_is_asked_is_not_run_again(here: Path, monkeypatch):
    run = run_of(plan(here=LAPTOP, machine=Machine(2, 0)), here / "runs" / "a")

    def ends(runs):
        publish_json(run.result_json, {"status": "done"})
        return set()

    monkeypatch.setattr(states, "under_way", ends)
    with pytest.raises(Refusal, match="is finished"):
        resume.main([str(run.path)])
    assert run.events() == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--help"], ["-N, --nodes N", "workloads.mnist", "\n  resume RUN|STUDY ", "exit status"]),
        (["-h"], ["job options"]),
        (["--nodes", "2", "--help"], ["job options"]),
        (["tiny", "--help"], ["job options", "options of tiny", "--network"]),
        (["tiny", "--epochs", "2", "-h"], ["options of tiny"]),
        (["hello.py", "--help"], ["job options"]),
        (["resume", "--help"], ["python -m launch resume RUN"]),
        (["doctor", "-h"], ["python -m launch doctor"]),
    ],
)
def test_help(here: Path, words: list[str], says: list[str]):
    before = tree(here)
    done = launch(here, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(part in done.stdout for part in says)
    assert max(map(len, done.stdout.splitlines())) <= 130
    assert tree(here) == before


def test_help_of_a_workload_that_does_not_exist(here: Path):
    refused(launch(here, "workloads.cfd_resnte", "--help"), "did you mean")


@pytest.mark.parametrize("backend", ["local", "slurm"])
def test_a_dry_run_prints_the_plan_and_makes_nothing(here: Path, backend: str):
    before = tree(here)
    words = [
        "--backend",
        backend,
        "--nodes",
        "2",
        "--time",
        "90",
        "--name",
        "first",
        "--dry-run",
        "tiny",
        "--epochs",
        "3",
    ]
    done = launch(here, *words)
    assert (done.returncode, done.stderr) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in done.stdout.splitlines()[:6] if line)
    assert (
        rows["backend"] == backend
        and rows["site"] == f"{'laptop' if backend == 'local' else 'slurm'} (--backend {backend})"
    )
    assert "2 nodes" in rows["shape"] and "= 2 ranks, no GPUs" in rows["shape"]
    for part in ("walltime       01:30:00", f"run            {here}/runs/first", "launch.node.worker"):
        assert part in done.stdout
    assert ("#SBATCH --nodes=2" in done.stdout) == (backend == "slurm")
    assert tree(here) == before


SHADOWS = {
    "launch.py": "if __name__ != '__main__': print('not this one')",
    "profiling/__init__.py": "",
    "workloads/__init__.py": "raise RuntimeError('not this one')",
    "workloads/mine.py": WORKLOAD,
    "workloads/mnist.py": WORKLOAD,
    "random.py": "raise RuntimeError('not this one')",
    "own.py": WORKLOAD,
    "program.py": WORKLOAD + "print(Config())",
}


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--version"], 0, f"rankloop {VERSION}"),
        (["--dry-run", "hello.py"], 0, "launch.node.worker"),
        (["--dry-run", "workloads.cfd_resnet"], 0, "network        gated"),
        (["--dry-run", "workloads.mine", "--width=3"], 0, "1 rank"),
        (["--dry-run", "own", "--width=3"], 0, "1 rank"),
        (["--dry-run", "own.py", "--width=3"], 0, "run            "),
        (["--dry-run", "program.py", "--width=3"], 0, "run            "),
        (["own.py", "--widht=3"], 2, "rankloop: unknown option --widht of own: did you mean '--width'?"),
        (["workloads.mnist"], 2, "rankloop: workloads.mnist is both one of the toolkit's workloads and "),
        (["report", "nowhere"], 2, "rankloop: "),
        (["launch.nosuch"], 2, "there is no workload or module 'launch.nosuch'"),
        (["launch.py"], 0, "done: "),
        (["resume"], 2, "rankloop: resume needs a run: rankloop resume RUN"),
        (["predict", "--help"], 0, "rankloop predict STUDY|TABLE"),
    ],
)  # fmt: skip
def test_the_command_is_found_whatever_lies_in_the_folder(here: Path, words: list[str], status: int, says: str):
    for name, text in SHADOWS.items():
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(text)
    done = subprocess.run(
        [sys.executable, START, *(["--backend=local"] if "--dry-run" in words else []), *words],
        cwd=here, env=environment(PYTHONPATH="."), capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, says in done.stdout + done.stderr) == (status, True), done.stdout + done.stderr
    assert "not this one" not in done.stdout + done.stderr


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["workloads"], ["completion", "bash"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_named(here: Path, words: list[str], unbuffered: str):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, START, *words], cwd=here, env=environment(PYTHONUNBUFFERED=unbuffered), stdout=full,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.stderr == "rankloop: cannot write to standard output (No space left on device)\n"
    assert done.returncode == 1


def test_whether_there_is_room_for_output_is_found_out_without_any(here: Path):
    words = [sys.executable, "-c", "from launch import streams; print(streams.takes_output())"]
    done = subprocess.run(words, cwd=here, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_default_names_do_not_collide(here: Path):
    (here / "q%a b\\n.py").write_text(HELLO)
    words = [sys.executable, "-m", "launch", "--backend", "local", "--sample-hz", "0", "./q%a b\\n.py"]
    env = environment(PYTHONPATH=str(ROOT))
    many = [subprocess.Popen(words, cwd=here, env=env, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [each.wait(300) for each in many] == [0, 0, 0]
    names = [path.parent.name for path in here.glob("runs/*/result.json")]
    assert len(names) == 3 and all(re.fullmatch(r"q_a_b_n-n1-\d{8}-\d{6}(-\d{6})?", name) for name in names), names


HEAVY = {
    "tensorflow",
    "keras",
    "numpy",
    "pandas",
    "torch",
    "horovod",
    "submitit",
    "hypothesis",
    "psutil",
    "argparse",
    "tokenize",
    "ast",
}


@pytest.mark.parametrize("backend", ["local", "slurm"])
def test_a_dry_run_imports_nothing_heavy(here: Path, backend: str):
    words = ["--backend", backend, "--nodes", "16", "--dry-run", "workloads.cfd_resnet"]
    code = f"""if True:
        import os, runpy, sys
        os._exit = sys.exit  # for what follows to be reached
        sys.argv = ["launch", *{words!r}]
        try:
            runpy.run_module("launch", run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            assert not ended.code, ended.code
        print("MODULES", *sorted(name.partition(".")[0] for name in sys.modules))
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=here, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.rpartition("MODULES ")[2].split())
    assert {"launch", "workloads"} <= loaded
    assert loaded & HEAVY == set()


def test_a_reader_that_has_seen_enough_is_no_error(here: Path):
    words = f"{sys.executable} -m launch --help | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", words],
        cwd=here, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_input_that_does_not_reach_the_ranks_is_told(here: Path):
    command = f"{sys.executable} -m launch --backend local --dry-run hello.py"
    for words, told in {
        f"{command} < hello.py": True, f"echo a | {{ sleep 0.2; {command}; }}": True, f"{command} < /dev/null": False,
        f"{command} <&-": False, f": | {command}": False,
    }.items():  # fmt: skip
        done = subprocess.run(
            ["bash", "-c", words], cwd=here, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True
        )
        assert (done.returncode, "\ninput " in done.stdout) == (0, told), words + done.stdout + done.stderr


def test_warnings_that_the_program_is_to_show_are_not_those_of_the_launcher(here: Path):
    done = launch(here, *LOCAL, "--sample-hz", "0", "--", "true", PYTHONWARNINGS="error")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_an_older_python_is_refused_in_a_line():
    """The python3 of a login node may be of 2016, and has to be able to read the file that says so."""
    ast.parse(Path(START).read_text(), feature_version=(3, 6))
    code = f"import runpy, sys; sys.version_info = (3, 6, 15); runpy.run_path({str(START)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert "is 3.6.15: load a newer one" in done.stderr


def test_imports_go_the_way_that_design_says():
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def undocumented(source: Path) -> list[str]:
    """Public functions, classes and methods without a docstring."""
    found = []

    def visit(node: ast.AST, where: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not child.name.startswith(
                "_"
            ):
                if ast.get_docstring(child) is None:
                    found.append(f"{where}{child.name}")
                if isinstance(child, ast.ClassDef):
                    visit(child, f"{where}{child.name}.")

    tree_ = ast.parse(source.read_text())
    if ast.get_docstring(tree_) is None and source.name != "__init__.py":
        found.append(str(source))
    if not source.stem.startswith("_") or source.stem.startswith("__"):  # nothing in a private module is public
        visit(tree_, f"{source.relative_to(ROOT)}:")
    return found


@pytest.mark.parametrize("package", ["launch", "profiling", "workloads"])
def test_what_is_public_says_what_it_is(package: str):
    missing = [name for source in sorted((ROOT / package).rglob("*.py")) for name in undocumented(source)]
    assert missing == []
