"""The code that was submitted is the code that runs: what is copied, what the ranks make of it, and what is said of it."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
from plans import LAPTOP, plan, run_of
from projects import git, launched, repository

from launch.errors import Refusal
from launch.plan.target.workload import Target
from launch.record.code import compare, patch, snapshot, sources
from launch.record.code.tree import refuse_too_large
from launch.record.rundir import RunDir

PROGRAM = """
import inspect, multiprocessing, os, pathlib, sys
sys.path.append("lib")  # relative, and only now
import early

VALUE = "v1"
HERE = pathlib.Path(__file__).parent


def child(queue):
    import unseen
    queue.put(unseen.VALUE)


if __name__ == "__main__":
    if "--word=a" in sys.argv and os.environ["LAUNCH_ATTEMPT"] == "1":  # the user edits, while this runs
        for name in ("train.py", "lib/early.py", "late.py", "unseen.py", "setting.txt"):
            pathlib.Path(name).write_text(pathlib.Path(name).read_text().replace("v1", "v2"))
        pathlib.Path("gone.py").unlink()
        pathlib.Path("json.py").write_text("raise SystemExit('a new file')")
    import gone, json, late
    spawned = multiprocessing.get_context("spawn")
    queue = spawned.Queue()
    process = spawned.Process(target=child, args=(queue,))
    process.start()
    values = [VALUE, early.VALUE, late.VALUE, gone.VALUE, queue.get(timeout=60), (HERE / "setting.txt").read_text()]
    process.join()
    print("CODE", sys.argv[1], *values, "queue.put" in inspect.getsource(child), (HERE / "data" / "set").read_text(), flush=True)
    pathlib.Path("result" + sys.argv[1][-1]).write_text("x")
    (HERE / "beside").write_text("x")
    sys.exit(3 if "--word=b" in sys.argv and gone.VALUE != "v3" else 0)
"""


def of(script: Path, runs: Path | None = None, pythonpath: tuple[str, ...] = ()) -> sources.Sources:
    """The code of a script that is started from its folder."""
    planned = plan(here=LAPTOP, target=Target("script", str(script)), cwd=str(script.parent), pythonpath=pythonpath)
    return sources.of(planned, runs or script.parent / "runs")


def test_a_study_runs_its_code_whatever_is_edited_meanwhile(tmp_path: Path):
    project = repository(
        tmp_path / "project", train_py=PROGRAM, lib__early_py="VALUE = 'v1'", late_py="VALUE = 'v1'", gone_py="VALUE = 'v1'",
        unseen_py="VALUE = 'v1'", setting="v1",
    )  # fmt: skip
    (project / "setting").rename(project / "setting.txt")  # new to git, and not ignored
    (project / "data").mkdir()
    (project / "data" / "set").write_text("data")
    done = launched(
        project,
        "--backend",
        "local",
        "--sample-hz",
        0,
        "--name",
        "t",
        "--sweep",
        "word=a,b",
        "--scaling",
        "weak",
        "train.py",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    said = {name: (project / f"runs/t/n1-word{name}-r1/logs/node0.log").read_text() for name in "ab"}
    assert "0: CODE --word=a v1 v1 v1 v1 v1 v1 True data" in said["a"]
    assert "0: CODE --word=b v1 v1 v1 v1 v1 v1 True data" in said["b"]
    assert (project / "resulta").exists() and (project / "resultb").exists()  # the working directory is the user's own
    record = json.loads((project / "runs/t/code.json").read_text())
    assert record["snapshot"] and record["commit"] == git(project, "rev-parse", "HEAD")
    assert not list((project / "runs/t").glob("n1-*/.code"))  # one copy for all
    changed = RunDir(project / "runs/t/n1-wordb-r1").events("started")[0].get("changed")
    assert changed == ["gone.py", "late.py", "lib/early.py", "setting.txt", "train.py", "unseen.py"]
    log = (project / "runs/t/jobs/1/logs/job.log").read_text()
    assert "gone.py, late.py" in log and f"{project}/runs/t/.code/project/beside" in log

    assert f"{project}/runs/t/.code/project/beside" in done.stdout

    (project / "json.py").unlink()
    again = launched(project, "resume", "runs/t")
    assert again.returncode == 1 and "code           the snapshot of" in again.stdout, again.stdout + again.stderr
    assert "--code current" in again.stdout and "train.py" in again.stdout
    (project / "gone.py").write_text("VALUE = 'v3'")
    current = launched(project, "resume", "runs/t", "--code", "current")
    assert current.returncode == 0, current.stdout + current.stderr
    run = RunDir(project / "runs/t/n1-wordb-r1")
    assert "CODE --word=b v2 v2 v2 v3 v2 v2 True data" in run.node_log(0).read_text()
    (event,) = run.events("code")
    assert event.get("attempt") == 3 and event.get("code") == "code-2" == run.events("started")[-1].get("code")
    compared = launched(project, "diff", "runs/t/n1-worda-r1", "runs/t/n1-wordb-r1").stdout
    assert "late.py" in compared and "files" in compared
    assert git(project, "status", "--short", "runs") == ""


def test_without_a_snapshot_each_attempt_says_what_has_changed(tmp_path: Path):
    project = repository(tmp_path / "p", train_py="raise SystemExit('v1')", other_py="")
    ran = launched(project, "--backend", "local", "--sample-hz", 0, "--name", "t", "--no-snapshot", "train.py")
    assert ran.returncode == 1 and "without a snapshot" in ran.stdout
    (project / "train.py").write_text("print('v2')")
    again = launched(project, "resume", "runs/t")
    assert again.returncode == 0 and "changed since: train.py" in again.stdout
    run = RunDir(project / "runs/t")
    first, second = run.events("started")
    assert first.get("changed") == [] and second.get("changed") == ["train.py"]
    assert first.get("code_hash") != second.get("code_hash")
    assert (
        "0: v2" in run.node_log(0).read_text() and "train.py; the ranks run it as it is now" in run.job_log.read_text()
    )
    assert os.listdir(run.path / ".code") == ["files.jsonl"] or len(os.listdir(run.path / ".code")) == 2


def test_what_is_copied_and_what_is_linked(tmp_path: Path):
    library = repository(tmp_path / "library", lib_py="L = 1")
    project = repository(tmp_path / "project", train_py="", pkg__a_py="", tool="#!/bin/sh\n")
    git(project, "submodule", "add", "-q", str(library), "sub")
    git(project, "commit", "-qm2")
    os.symlink("pkg", project / "alias")
    os.symlink("../library", project / "outside")
    (project / "tool").chmod(0o755)
    (project / "new.py").write_text("")
    (project / "pkg" / "__pycache__").mkdir()
    (project / "pkg" / "a.log").write_text("ignored")
    (project / "data").mkdir()
    (project / "mine" / "r" / "jobs").mkdir(parents=True)
    (project / "mine" / "r" / "run.json").write_text("{}")  # a run in a place that git does not ignore
    (project / "deleted.py").write_text("")
    git(project, "add", "deleted.py")
    (project / "deleted.py").unlink()
    before = sorted(map(str, project.rglob("*"))), git(project, "status", "--short")
    code = of(project / "train.py")
    run = run_of(plan(), tmp_path / "run")
    record = snapshot.write(run.path, "code", code, True)
    assert (sorted(map(str, project.rglob("*"))), git(project, "status", "--short")) == before
    copy = run.path / ".code" / "project"
    files = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file() and not path.is_symlink()}
    assert files == {
        ".gitignore", ".gitmodules", "train.py", "new.py", "pkg/a.py", "tool", "sub/.gitignore", "sub/lib.py",
    }  # fmt: skip
    links = {str(path.relative_to(copy)): os.readlink(path) for path in copy.rglob("*") if path.is_symlink()}
    assert links == {
        "alias": "pkg", "outside": str(library), "data": str(project / "data"), "mine/r": str(project / "mine" / "r"),
        "pkg/a.log": str(project / "pkg" / "a.log"),
    }  # fmt: skip
    modes = {path.name: path.lstat().st_mode & 0o777 for path in (copy, copy / "tool", copy / "train.py", copy / "pkg")}
    assert modes == {"project": 0o700, "tool": 0o700, "train.py": 0o600, "pkg": 0o700}
    (tree,) = record["trees"]
    assert f"with sub at {git(library, 'rev-parse', 'HEAD')[:8]}" in tree["notes"]
    (project / "new.py").unlink()
    changes = compare.changes(run)
    assert changes is not None and changes.files == ["new.py"]
    os.utime(project / "train.py")  # a new time is no change
    (project / "new.py").write_text("")
    assert compare.changes(run) == ([], record["hash"], True)


def test_a_worktree_an_ignored_script_and_a_library_in_another_repository(tmp_path: Path):
    project = repository(tmp_path / "project", train_py="")
    git(project, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"))
    library = repository(tmp_path / "library", src__lib_py="")
    scratch = (tmp_path / "tree" / "data").resolve()
    scratch.mkdir()
    (scratch / "try.py").write_text("import near, far\n")
    (scratch / "near.py").write_text("")
    (scratch / "set.bin").write_text("")
    code = of(scratch / "try.py", pythonpath=(str(library / "src"),))
    own, other = code.trees
    assert own.commit == git(project, "rev-parse", "HEAD") and f"a worktree of {project}" in own.notes
    assert set(own.files) == {".gitignore", "train.py", "data/try.py", "data/near.py"}
    assert any("ignored by git" in note for note in own.notes)
    assert (other.root, other.files) == (str(library), (".gitignore", "src/lib.py"))
    run = run_of(plan(), tmp_path / "run")
    snapshot.write(run.path, "code", code, True)
    assert (run.path / ".code/tree/data/set.bin").is_symlink() and not (
        run.path / ".code/tree/data/try.py"
    ).is_symlink()


def test_without_a_repository_a_script_and_what_it_imports(tmp_path: Path):
    folder = (tmp_path / "loose").resolve()
    (folder / "pkg" / "inner").mkdir(parents=True)
    for name, text in {
        "train.py": "import json, near\nfrom pkg.inner import deep\n", "near.py": "def f():\n    import far", "far.py": "",
        "other.py": "", "pkg/inner/deep.py": "import from_deep", "pkg/table.csv": "", "from_deep.py": "", "set.csv": "",
    }.items():  # fmt: skip
        (folder / name).write_text(text)
    (tree,) = of(folder / "train.py").trees
    assert set(tree.files) == {
        "train.py", "near.py", "far.py", "from_deep.py", "pkg/inner/deep.py", "pkg/table.csv",
    }  # fmt: skip
    assert tree.links == ("other.py", "set.csv") and tree.commit is None and tree.notes == ("no git repository",)
    with pytest.raises(Refusal, match=r"--snapshot-limit 1 or --no-snapshot"):
        refuse_too_large([tree], 0.01)


def test_a_folder_of_placeholders_stays_where_it_is(tmp_path: Path):
    project = repository(
        tmp_path / "p", train_py="", outputs__gitkeep="", sets__raw__gitkeep="", sets__gitkeep="", lib__gitkeep="", lib__a_py=""
    )  # fmt: skip
    for folder in ("outputs", "sets/raw", "sets", "lib"):
        (project / folder / "gitkeep").rename(project / folder / ".gitkeep")
    (project / ".gitignore").write_text("sets/*\n!sets/raw\nsets/raw/*\n!.gitkeep\nruns/\n")
    git(project, "add", "-A")
    for number in range(9):
        (project / "sets" / "raw" / f"{number}.npy").write_text("")
    (tree,) = of(project / "train.py").trees
    assert set(tree.links) == {"outputs", "sets", "runs"}
    assert set(tree.files) == {".gitignore", "train.py", "lib/.gitkeep", "lib/a.py"}


@pytest.mark.parametrize("is_repository", [False, True])
def test_a_program_finds_what_lies_beside_its_folder(tmp_path: Path, is_repository: bool):
    project = repository(tmp_path / "p", lib__mine_py="", data__set="data")
    own = repository(project / "own") if is_repository else project / "own"
    own.mkdir(exist_ok=True)
    if not is_repository:
        shutil.rmtree(project / ".git")
    (own / "train.py").write_text(
        "import pathlib, sys\n"
        "above = pathlib.Path(__file__).parent.parent\n"
        "sys.path.append(str(pathlib.Path(__file__).parent / '..' / 'lib'))\n"
        "import mine\nprint(mine.__file__, (above / 'data' / 'set').read_text())\n"
    )
    done = launched(tmp_path, "--backend", "local", "--sample-hz", 0, "--name", "t", own / "train.py")
    assert done.returncode == 0 and "lib/mine.py data" in done.stderr, done.stdout + done.stderr
    assert not compare.written(RunDir(tmp_path / "runs/t"))
    assert launched(tmp_path, "rm", "--yes", "t").returncode == 0 and (project / "data" / "set").exists()


def test_a_link_beside_the_script_leads_to_its_copy_and_one_from_elsewhere_is_told(tmp_path: Path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "train.py").write_text("")
    (tmp_path / "p" / "mine.py").symlink_to("also.py")
    (tmp_path / "p" / "also.py").symlink_to("train.py")
    (tmp_path / "there.py").symlink_to("p/train.py")
    run = run_of(plan(here=LAPTOP), tmp_path / "r")
    beside, there = (of(tmp_path / name, tmp_path / "r") for name in ("p/mine.py", "there.py"))
    snapshot.write(run.path, "code", beside, True)
    ((_, copy),) = snapshot.copies(run)
    assert Path(copy, "mine.py").resolve() == Path(copy, "train.py").resolve()
    assert not [note for note in beside.notes if "is a link" in note]
    assert (
        f"{tmp_path}/there.py is a link, and __file__ and sys.argv[0] are those of {tmp_path}/p/train.py" in there.notes
    )


def test_a_folder_of_links_is_not_what_the_program_has_written(tmp_path: Path):
    """Earlier runs elsewhere in the repository are linked, in a folder that is made for the links."""
    project = repository(tmp_path / "p", train_py="")
    (project / ".gitignore").unlink()
    (project / "study" / "runs" / "a" / "jobs").mkdir(parents=True)
    (project / "study" / "runs" / "a" / "run.json").write_text("{}")
    run = run_of(plan(here=LAPTOP), tmp_path / "r")
    snapshot.write(run.path, "code", of(project / "train.py", tmp_path), True)
    ((_, copy),) = snapshot.copies(run)
    assert Path(copy, "study", "runs", "a").is_symlink() and compare.written(run) == []
    Path(copy, "out").mkdir()
    Path(copy, "study", "a.csv").write_text("")
    assert compare.written(run) == [f"{copy}/out", f"{copy}/study/a.csv"]


def test_environments_in_a_repository_are_linked(tmp_path: Path):
    project = repository(tmp_path / "p", train_py="")
    for name in (
        ".venv/pyvenv.cfg",
        ".venv/lib/x.py",
        "tools/env/conda-meta/history",
        "tools/env/bin/tool",
        "tools/a.py",
    ):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("")
    (tree,) = of(project / "train.py").trees
    assert set(tree.links) == {".venv", "tools/env", "runs"} and set(tree.files) == {
        ".gitignore",
        "train.py",
        "tools/a.py",
    }


def test_the_changes_of_a_submodule_are_in_the_patch(tmp_path: Path):
    library = repository(tmp_path / "library", lib_py="L = 1\n")
    project = repository(tmp_path / "project", train_py="")
    git(project, "submodule", "add", "-q", str(library), "sub")
    git(project, "commit", "-qm2")
    repository(project / "sub" / "inner", deep_py="D = 1\n")
    (project / "sub" / "lib.py").write_text("L = 2\n")
    (project / "sub" / "new.py").write_text("N = 2\n")
    (project / "sub" / "inner" / "deep.py").write_text("D = 2\n")
    kept = tmp_path / "code.patch"
    assert patch.keep(kept, str(project)) == git(project, "rev-parse", "HEAD")
    assert set(patch.files(kept.read_text())) == {"sub/lib.py", "sub/new.py", "sub/inner/deep.py"}
    commit = git(library, "rev-parse", "HEAD")[:8]
    assert f"with sub at {commit}, changed" in snapshot.write(tmp_path, "code", of(project / "train.py"), True)[
        "trees"
    ][0].get("notes", ())
    git(project / "sub", "checkout", "-q", ".")
    git(project / "sub" / "inner", "checkout", "-q", ".")
    (project / "sub" / "new.py").unlink()
    git(project, "apply", str(kept))
    assert (project / "sub" / "lib.py").read_text() == "L = 2\n" and (project / "sub" / "new.py").exists()
    assert (project / "sub" / "inner" / "deep.py").read_text() == "D = 2\n"


def test_an_edit_in_the_second_of_the_commit_is_in_the_patch(tmp_path: Path):
    project = repository(tmp_path / "p", train_py="VALUE = 'v1'")
    index = project / ".git" / "index"
    second = index.stat().st_mtime_ns // 10**9 * 10**9 - 10**10
    os.utime(project / "train.py", ns=(second, second))
    git(project, "update-index", "--refresh")
    os.utime(index, ns=(second + 1000, second + 1000))
    (project / "train.py").write_text("VALUE = 'v2'")  # as long as before
    os.utime(project / "train.py", ns=(second + 2000, second + 2000))
    patch.keep(tmp_path / "code.patch", str(project))
    assert "+VALUE = 'v2'" in (tmp_path / "code.patch").read_text()


def test_pipes_and_broken_links_beside_the_code_hold_nothing_up(tmp_path: Path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "train.py").write_text("import pkg")
    (tmp_path / "pkg" / "a.py").write_text("")
    for name in ("pipe", "b.py"):
        os.mkfifo(tmp_path / "pkg" / name)
    (tmp_path / "pkg" / "c.py").symlink_to("b.py")
    (tmp_path / "pkg" / "d.py").symlink_to("nowhere")
    found = of(tmp_path / "train.py", tmp_path / "runs")
    assert found.trees[0].files == ("pkg/a.py", "pkg/c.py", "pkg/d.py", "train.py")
    run = run_of(plan(here=LAPTOP), tmp_path / "runs" / "r")
    snapshot.write(run.path, "code", found, True)
    (tmp_path / "train.py").unlink()
    os.mkfifo(tmp_path / "train.py")
    changes = compare.changes(run)
    assert changes is not None and changes.files == ["train.py"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_a_repository_that_git_refuses_for_its_owner(tmp_path: Path):
    project = repository(tmp_path / "project", train_py="")
    for path in [project, *project.rglob("*")]:
        os.lchown(path, 65534, 65534)
    (tree,) = of(project / "train.py").trees
    assert tree.files == ("train.py",) and tree.commit is None
    assert "belongs to another user" in tree.notes[0] and f"safe.directory {project}" in tree.notes[0]


def test_an_executable_is_watched_with_its_repository(tmp_path: Path):
    project = repository(tmp_path / "project", case="cells = 1", run="#!/bin/sh")
    (project / "data").mkdir()
    (project / "data" / "solver").write_bytes(b"\x7fELF")  # built, and ignored
    planned = dataclasses.replace(
        plan(here=LAPTOP, cwd=str(project)), kind="program", workload=str(project / "data" / "solver")
    )
    code = sources.of(planned, tmp_path)
    assert not code.copied and set(code.trees[0].files) == {".gitignore", "case", "run", "data/solver"}
    run = run_of(planned, tmp_path / "run")
    assert snapshot.write(run.path, "code", code, True)["snapshot"] is False and snapshot.copies(run) == []
    (project / "data" / "solver").write_bytes(b"\x7fElf")
    (project / "case").write_text("cells = 2")
    changes = compare.changes(run)
    assert changes is not None and changes.files == ["case", "data/solver"]
    on_path = sources.of(dataclasses.replace(planned, workload="mpi_solver"), tmp_path)
    assert on_path.trees[0].root == str(project) and "found on the nodes" in on_path.notes[0]


def test_a_script_that_a_program_reads_is_watched_and_the_plan_says_how_to_have_it_copied(tmp_path: Path):
    (tmp_path / "train.py").write_text("cells = 1\n")
    (tmp_path / "other.py").write_text("")

    def code(*words: str, copied: bool = True) -> sources.Sources:
        planned = plan(here=LAPTOP, target=Target("program", words[0], words[1:]), cwd=str(tmp_path))
        return sources.of(planned, tmp_path / "runs", copied)

    advice = "give train.py without python, and the run has a copy of it"
    by_python = code("python", "-u", "train.py", "--epochs", "2")
    assert by_python.trees[0].what == str(tmp_path / "train.py") and not by_python.copied
    assert by_python.notes == ("python is found on the nodes", advice)
    assert advice not in code("python", "train.py", copied=False).notes
    by_shell = code("/bin/bash", "train.py")
    assert by_shell.trees[0].files == ("train.py",) and by_shell.notes == ()  # nothing would copy a shell script
    for words in (("python", "-m", "train.py"), ("sh", "-c", "train.py"), ("cat", "train.py"), ("python", "gone.py")):
        found = code(*words)
        assert advice not in found.notes and not any(tree.files == ("train.py",) for tree in found.trees)
    run = run_of(
        plan(here=LAPTOP, target=Target("program", "python", ("train.py",)), cwd=str(tmp_path)), tmp_path / "run"
    )
    snapshot.write(run.path, "code", by_python, True)
    (tmp_path / "train.py").write_text("cells = 2\n")
    changes = compare.changes(run)
    assert changes is not None and changes.files == ["train.py"]


def test_what_git_does_not_say_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    project = repository(tmp_path / "project", train_py="")
    other = repository(tmp_path / "other", x_py="")
    commit = git(project, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))  # as in one of its hooks
    (tree,) = of(project / "train.py", tmp_path / "a").trees
    assert (tree.root, tree.commit) == (str(project), commit)
    monkeypatch.setenv("HOME", str(project))  # whose settings are in a repository: not all that lies there is code
    (tree,) = of(project / "train.py", tmp_path / "b").trees
    assert tree.files == ("train.py",) and "not taken as a whole" in tree.notes[0]
    monkeypatch.setenv("PATH", "/nowhere")
    (tree,) = of(project / "train.py", tmp_path / "c").trees
    assert tree.files == ("train.py",) and "git is not installed here" in tree.notes[0]


def test_modules_are_found_in_the_copy_wherever_their_name_begins(tmp_path: Path):
    project = repository(
        tmp_path / "project", pkg__main_py="from . import b\nprint(__file__, b.__file__, __package__)\n"
    )
    (project / "__init__.py").write_text("")
    (project / "pkg" / "b.py").write_text("")
    for cwd, name in ((project, "pkg.main"), (tmp_path, "project.pkg.main")):
        done = launched(cwd, "--backend", "local", "--sample-hz", 0, "--name", "t", "--wait", name)
        assert done.returncode == 0, done.stdout + done.stderr
        copy = cwd / "runs/t/.code/project/pkg"
        said = (cwd / "runs/t/logs/node0.log").read_text()
        assert said == f"0: {copy}/main.py {copy}/b.py {name.rpartition('.')[0]}\n"


def test_a_dry_run_says_what_would_be_copied_and_too_much_is_refused(tmp_path: Path):
    project = repository(tmp_path / "p", train_py="print(1)")
    (project / "model.bin").write_bytes(bytes(3 * 2**20))
    before = sorted(project.rglob("*"))
    dry = launched(project, "--backend", "local", "--dry-run", "train.py")
    assert dry.returncode == 0 and sorted(project.rglob("*")) == before
    assert f"a snapshot of {project}, 3 files, 3.01 MiB, commit {git(project, 'rev-parse', 'HEAD')[:8]}" in dry.stdout
    much = launched(project, "--backend", "local", "--snapshot-limit", 2, "train.py")
    assert much.returncode == 2 and sorted(project.rglob("*")) == before
    assert len(much.stderr.splitlines()) == 1 and f"{project}/model.bin (3 MiB)" in much.stderr
    assert "--snapshot-limit 4 or --no-snapshot" in much.stderr


def test_a_snapshot_that_is_gone_is_not_replaced_by_the_code_of_today(tmp_path: Path):
    project = repository(tmp_path / "p", train_py="raise SystemExit(1)")
    assert launched(project, "--backend", "local", "--sample-hz", 0, "--name", "t", "train.py").returncode == 1
    shutil.rmtree(project / "runs/t/.code")
    again = launched(project, "resume", "runs/t")
    assert again.returncode == 2 and "is gone" in again.stderr and "--code current" in again.stderr
    assert len(RunDir(project / "runs/t").events("started")) == 1


def test_a_python_that_is_gone_is_named(tmp_path: Path):
    project = repository(tmp_path / "p", train_py="raise SystemExit(1)")
    words = ("--backend", "local", "--sample-hz", 0, "--runs", tmp_path, "--name", "t", "train.py")
    assert launched(project, *words).returncode == 1
    record = tmp_path / "t" / "run.json"
    python = str(tmp_path / "env" / "bin" / "python")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"python": python}))
    again = launched(project, "resume", tmp_path / "t")
    assert (
        again.returncode == 1
        and f"python         {python} is not here" in again.stdout
        and "ulimit" not in again.stdout
    )


def test_a_working_directory_that_is_gone_is_named(tmp_path: Path):
    project = repository(tmp_path / "p", train_py="raise SystemExit(1)")
    assert (
        launched(
            project, "--backend", "local", "--sample-hz", 0, "--runs", tmp_path, "--name", "t", "train.py"
        ).returncode
        == 1
    )
    project.rename(tmp_path / "moved")
    again = launched(tmp_path, "resume", tmp_path / "t")
    assert (
        again.returncode == 1
        and "working directory of the run is gone" in again.stdout
        and "ulimit" not in again.stdout
    )
