"""A rank's program runs as under Python alone: what it prints, imports, finds in __main__ and does at its end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from launched import ROOT, environment
from plans import LAPTOP, plan, run_of

from launch.plan.shape import Machine
from launch.plan.target.workload import Target
from launch.record.files import read_lines

START = ROOT / "launch" / "inside" / "rankloop" / "__main__.py"

# Each prints the same, and ends with the same status, under Python and as a rank.
PROGRAMS = {
    "main": """
import __main__, dataclasses, inspect, os, pickle, sys
@dataclasses.dataclass
class State:
    "Of a solver."
    step: int = 0
print(__main__.__dict__ is globals(), __name__, __file__, __spec__, __package__, __cached__, __doc__, type(__loader__).__name__)
print(sorted(globals()), sys.argv[1:], sys.path[0], os.getcwd(), sys.flags)
print(pickle.loads(pickle.dumps(State(3))), inspect.getsource(State))
print(sorted({"launch", "profiling", "workloads"} & sys.modules.keys()), sys.stdout.write_through)
""",
    "threads": """
import atexit, pickle, threading, time
class State: pass
def save():
    time.sleep(0.3)
    print("saved", len(pickle.dumps(State())) > 0, flush=True)
threading.Thread(target=save).start()
atexit.register(save)
""",
    "error": """
import atexit
atexit.register(print, "cleaned up")
def solve(): raise ValueError("first line\\nsecond line")
try: solve()
except ValueError as error: raise RuntimeError("no result") from error
""",
    "exits with an exception": "import sys\nsys.exit(FileNotFoundError('no shard 17'))",
    "exits with a tuple": "import sys\nsys.exit((1, 2))",
    "exits with a large number": "import sys\nsys.exit(256)",
    "exits with nothing": "import sys\nsys.exit(None)",
    "exits with True": "import sys\nsys.exit(True)",
    "hook": """
import sys
sys.excepthook = lambda kind, value, trace: print("hook:", kind.__name__, value, trace.tb_frame.f_code.co_name)
1 / 0
""",
    "a fork that fails": """
import atexit, os
atexit.register(print, "cleaned up")
if not os.fork(): raise OSError("of the child")
print(os.wait()[1])
raise ValueError("of the rank")
""",
    "a fork that exits": "import os, sys\nif not os.fork(): sys.exit(3)\nprint(os.wait()[1])",
    "no text": "class Odd(Exception):\n    def __str__(self): raise TypeError\nraise Odd",
    "syntax of a part": "exec(compile('a b', 'part.py', 'exec'))",
    "spawn": """
import multiprocessing
class Point:
    def __init__(self, x): self.x = x
def double(point): return Point(2 * point.x)
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print([point.x for point in pool.map(double, [Point(1), Point(2)])])
""",
    "its own modules": """
import launch, profiling, workloads.prepare, selectors, sys
print(launch.WHOSE, profiling.WHOSE, workloads.prepare.WHOSE, selectors.WHOSE)
sys.path.insert(0, "later")
import pathlib_of_ours, signal
""",
    "ours where it has none": """
import multiprocessing
from launch.errors import Refusal
def name(_): return Refusal.__name__
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(name, [1]))
""",
    "path found later": """
import sys
sys.path.insert(0, "later")
import profiling
print(profiling.WHOSE)
""",
}  # fmt: skip

FILES = {
    "package/__init__.py": "print('imported', __name__)",
    "package/__main__.py": """
import sys
from . import part
print(sorted(globals()), __name__, __package__, __spec__.name, __file__, __cached__, sys.argv, sys.path[0])
part.fail()
""",
    "package/part.py": "def fail(): raise KeyError('a part')",
    "library/sibling.py": "WHOSE = 'beside the script itself'",
    "library/linked.py": "import sibling, sys; print(sibling.WHOSE, sys.argv, __file__)",
    "scripts/train.py": "import profiling, workloads.prepare; print(profiling.WHOSE, workloads.prepare.WHOSE)",
    "with_own/launch.py": "WHOSE = 'mine'",
    "with_own/profiling/__init__.py": "WHOSE = 'mine too'",
    "with_own/workloads/__init__.py": "",
    "with_own/workloads/prepare.py": "WHOSE = 'mine as well'",
    "source/profiling/__init__.py": "WHOSE = 'mine too'",
    "source/workloads/prepare.py": "WHOSE = 'a namespace of mine'",
    "source/selectors.py": "raise RuntimeError('nobody has asked for this')",
    "with_own/selectors.py": "WHOSE = 'not that of the library'",
    "with_own/pathlib_of_ours.py": "",
    "later/profiling/__init__.py": "WHOSE = 'found later'",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of programs, in which they are started."""
    made = tmp_path_factory.mktemp("user")
    for name, text in FILES.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    for name, text in PROGRAMS.items():
        (made / ("with_own" if "own" in name else "") / f"{name}.py").write_text(text)
    (made / "bin").mkdir()
    (made / "bin" / "linked.py").symlink_to("../library/linked.py")
    return made


def rank(folder: Path, target: Target) -> tuple[int, str]:
    """The only rank of a run, without a launcher; return its exit status and what it printed."""
    path = folder / "runs" / f"run{len(list((folder / 'runs').glob('*')))}"
    run_of(plan(here=LAPTOP, machine=Machine(2, 0), target=target, cwd=str(folder), sample_hz=0.0), path)
    return ended([sys.executable, str(START), "launch.node.worker", str(path)], folder)


def alone(folder: Path, *words: str) -> tuple[int, str]:
    return ended([sys.executable, *words], folder)


def ended(command: list[str], folder: Path, **env: str) -> tuple[int, str]:
    env = environment(PYTHONPATH="") | env
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def same(under_python: tuple[int, str], as_rank: tuple[int, str]) -> None:
    """Standard output and error of a rank are one pipe, so their lines may stand in another order."""
    assert sorted(as_rank[1].splitlines()) == sorted(under_python[1].splitlines())
    assert as_rank[0] == under_python[0]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_rank_is_what_python_alone_would_be(folder: Path, name: str):
    path = str(folder / ("with_own" if "own" in name else "") / f"{name}.py")
    same(alone(folder, path, "a", "--b c"), rank(folder, Target("script", path, ("a", "--b c"))))


ENDS = {
    "exits with 0": ("import sys\nsys.exit(0)", 0, []),
    "exits with 3": ("import sys\nsys.exit(3)", 3, ["exit status 3"]),
    "has saved": ("import rankloop, sys\nrankloop.stop_requested()\nsys.exit(75)", 75, []),
    "exits with text": ("import sys\nsys.exit('no shard')", 1, ["exit status 1: no shard"]),
    "fails": ("raise ValueError('no shard')", 1, ["ValueError: no shard"]),
    "launches": ("import rankloop\nprint(rankloop.Refusal)", 0, []),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_toolkit_imports_nothing_of_the_folder_when_its_program_ends(tmp_path: Path, end: str):
    text, status, errors = ENDS[end]
    names = ["launch", "profiling", "workloads", "traceback", "linecache", "tokenize", "textwrap"]
    for name in names + ["rankloop"] * ("rankloop" not in text):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('nobody has asked for this')")
    (tmp_path / "train.py").write_text(text)
    found, said = rank(tmp_path, Target("script", str(tmp_path / "train.py")))
    failures = [line for file in tmp_path.glob("runs/run0/failures/*") for line in read_lines(file)]
    assert (found, [line["error"] for line in failures]) == (status, errors), said
    assert "nobody has asked" not in said
    assert not failures or failures[0]["traceback"] == (said if end == "fails" else "")


def test_what_a_process_that_was_forked_raises_is_not_the_error_of_the_rank(folder: Path):
    path = folder / "runs" / "forks"
    words = ["--backend", "local", "--sample-hz", "0", "--name", "forks", "a fork that fails.py"]
    status, text = ended([sys.executable, str(START), *words], folder)
    assert (status, [line["error"] for line in read_lines(path / "failures" / "node0.jsonl")]) == (
        1,
        ["ValueError: of the rank"],
    ), text


def test_a_link_to_a_script_finds_what_lies_beside_the_script(folder: Path):
    path = str(folder / "bin" / "linked.py")
    same(alone(folder, path, "x"), rank(folder, Target("script", path, ("x",))))


def test_a_package_is_run_as_by_python_m(folder: Path):
    status, text = alone(folder, "-m", "package", "-v")
    theirs = [
        line for line in text.splitlines() if "frozen runpy" not in line
    ]  # Python's own lines above the program's
    same((status, "\n".join(theirs)), rank(folder, Target("module", "package", ("-v",))))


def test_what_the_users_path_has_is_the_users(folder: Path):
    words = ["--backend", "local", "--sample-hz", "0", "--name", "launched", "scripts/train.py"]
    path = f"{ROOT}{os.pathsep}source"
    status, text = ended([sys.executable, str(START), *words], folder, PYTHONPATH=path)
    assert status == 0, text
    assert (folder / "runs/launched/logs/node0.log").read_text() == "0: mine too a namespace of mine\n"
