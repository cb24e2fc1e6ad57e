"""What a program records of itself: by `import rankloop`, and in other languages; and what becomes of it."""

import ast
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import page
import pytest
from launched import ROOT, environment, launch, until

from launch.record.rundir import RunDir
from profiling.study import steps

INSIDE = ROOT / "launch" / "inside"
MPICC = Path(sys.executable).with_name("mpicc")
WORDS = ("--backend", "local", "--sample-hz", "0")


def variables(run: Path, **more: object) -> dict[str, str]:
    """The environment of rank 0 of a run, which need not be one that the launcher made."""
    for folder in ("steps", "meeting", "checkpoints"):
        (run / folder).mkdir(parents=True, exist_ok=True)
    own = {"RUN": run, "STEPS": run / "steps" / "rank0.jsonl", "RANK": 0, "SIZE": 1, "NODE": 0, "ATTEMPT": 1, **more}
    return {f"LAUNCH_{name}": str(value) for name, value in own.items()} | {"PYTHONPATH": str(INSIDE)}


def python(code: str, folder: Path, **env: str) -> subprocess.CompletedProcess:
    """A program, without the packages of the toolkit."""
    (folder / "program.py").write_text(code)
    command = [sys.executable, "-S", "program.py"]
    return subprocess.run(command, cwd=folder, env=environment() | env, capture_output=True, text=True, timeout=60)


def recorded(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "steps" / "node0.jsonl").read_text().splitlines()]


def test_it_is_python_3_9_and_the_standard_library():
    for path in (INSIDE / "rankloop").glob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 9))
        assert path.name != "__init__.py" or "annotations" in ast.unparse(tree)  # int | None is not of 3.9 when it runs
        if path.name != "__main__.py":  # the command, which is the launcher's
            imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
            names = {getattr(node, "module", None) or node.names[0].name for node in imported}
            assert {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names, "rankloop"}


def test_without_the_launcher_it_works_and_does_nothing(tmp_path: Path):
    code = """
import rankloop
batches = rankloop.steps([1, 2, 3], examples=64)
assert len(batches) == 3 and list(batches) == [1, 2, 3] and list(rankloop.steps(iter("ab"))) == ["a", "b"]
with rankloop.step(examples=64): pass
rankloop.result(accuracy=float("nan"))
assert rankloop.stop_requested() is False and (rankloop.rank, rankloop.size) == (0, 1)
"""
    done = python(code, tmp_path, PYTHONPATH=str(INSIDE))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir() if path.name != "program.py"] == []
    done = python("import rankloop; (rankloop.checkpoints / 'a').write_text('')", tmp_path, PYTHONPATH=str(INSIDE))
    assert done.returncode == 0 and (tmp_path / "checkpoints" / "a").exists()


def test_what_is_recorded_and_what_cannot_be(tmp_path: Path):
    code = """
import atexit, os, rankloop, threading, time
atexit.register(lambda: os.getpid() == rank and rankloop.result(late=1))  # it runs after that of the recorder
rank = os.getpid()
for batch in rankloop.steps([[1, 2], [3]], examples=len):
    time.sleep(0.02 * len(batch))
for _ in rankloop.steps("ab", examples=9):  # of a step within a step the inner one counts
    with rankloop.step(examples=1): pass
for batch in rankloop.steps("abc", examples=5, after=10):
    if batch == "b": break
with rankloop.step(examples=7.0, number=20): pass
try:
    with rankloop.step(): raise KeyError
except KeyError: pass
for wrong in (-1, "many", 0.5):
    with rankloop.step(examples=wrong): pass
thread = threading.Thread(target=lambda: list(rankloop.steps("ab")))
thread.start(); thread.join()
if os.fork() == 0: os._exit(0)
if os.fork() == 0:
    import sys; sys.exit(0)  # its exit handlers must not write what waits here
os.wait(); os.wait()
rankloop.result(loss=1, accuracy=0.5, best="b", worst=float("inf"))
rankloop.result(loss=0.25)
raise SystemExit(7)
"""
    done = python(code, tmp_path, **variables(tmp_path / "run"))
    lines = recorded(tmp_path / "run")
    made = [line for line in lines if "step" in line]
    assert [line["step"] for line in made] == [1, 2, 3, 4, 11, 20, 21, 22, 23]
    assert [line.get("examples") for line in made] == [2, 1, 1, 1, 5, 7, None, None, None]
    assert all(line["rank"] == 0 and line["attempt"] == 1 and abs(line["start"] - time.time()) < 60 for line in lines if "step" in line)  # fmt: skip
    assert (
        made[0]["seconds"] > 0.04 and made[1]["seconds"] > 0.02 and made[0]["seconds"] - made[0]["input_seconds"] > 0.04
    )
    assert [line["metrics"] for line in lines if "metrics" in line] == [{"loss": 1, "accuracy": 0.5}, {"loss": 0.25}]
    said = done.stderr.splitlines()
    assert done.returncode == 7 and all(line.startswith("rankloop: ") for line in said)
    for words in ("a step in which another", "another thread", "examples=-1", "examples='many': steps are recorded without it, as", "examples=0.5", "best='b'", "worst=inf", "after the end"):  # fmt: skip
        assert sum(words in line for line in said) == 1, words
    assert len(said) == 8


def test_what_is_no_number_ends_no_program_and_is_said_at_once(tmp_path: Path):
    code = """
import rankloop
with rankloop.step(number="q"): pass
with rankloop.step(number=7.0): pass
with rankloop.step(number=None): pass
for batch in rankloop.steps([1], after="x"): pass
rankloop.result(big=10**400, bigger=10**5000, small=3)
print("went on")
"""
    done = python(code, tmp_path, **variables(tmp_path))
    assert (done.returncode, done.stdout) == (0, "went on\n"), done.stderr
    assert [line.split(" is ")[0] for line in done.stderr.splitlines()] == [
        "rankloop: number='q'", "rankloop: number='x'", f"rankloop: result big=1{'0' * 59}", "rankloop: result bigger=...",
    ]  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "steps" / "node0.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "step" in line] == [1, 7, 8, 9]
    assert lines[-1]["metrics"] == {"small": 3}


def test_a_crash_costs_a_second_at_most(tmp_path: Path):
    code = """
import os, rankloop, signal, time
list(rankloop.steps(range(1000)))
time.sleep(1.3)  # evaluates, and dies
os.kill(os.getpid(), signal.SIGKILL)
"""
    run = tmp_path / "run"
    env = variables(run)
    (run / "steps" / "node0.jsonl").write_text('{"rank": 0, "st')  # another crash has cut this one short
    assert python(code, tmp_path, **env).returncode == -signal.SIGKILL
    cut, *lines = (run / "steps" / "node0.jsonl").read_text().splitlines()
    assert cut == '{"rank": 0, "st' and [json.loads(line)["step"] for line in lines] == list(range(1, 1001))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda run: (run / "steps" / "node0.jsonl").symlink_to("/dev/full"), "No space left"),
        (lambda run: shutil.rmtree(run), "nothing is recorded"),
        (lambda run: (run / "result.json").write_text("{}"), "is over"),
    ],
)
def test_a_program_outlives_its_recorder(tmp_path: Path, harm, words: str):
    env = variables(tmp_path / "run")
    harm(tmp_path / "run")
    code = "import rankloop, time\nfor x in rankloop.steps(range(3)): time.sleep(0.6)\nrankloop.result(a=1)\nraise SystemExit(5)"
    done = python(code, tmp_path, **env)
    assert done.returncode == 5 and [words in line for line in done.stderr.splitlines()] == [True]


def test_a_request_to_stop(tmp_path: Path):
    code = """
import rankloop, signal, sys, time
seen = []
signal.signal(signal.SIGTERM, lambda *_: seen.append("its own handler"))
rankloop.stop_requested()
print("ready", flush=True)
while not rankloop.stop_requested(): time.sleep(0.01)
sys.exit(rankloop.STOPPED if sys.argv[1:] != ["TERM"] or seen else 1)
"""
    (tmp_path / "program.py").write_text(code)
    for number in (signal.SIGUSR2, signal.SIGTERM):
        run = tmp_path / number.name
        words = [sys.executable, "program.py", number.name[3:]]
        env = environment() | variables(run)
        program = subprocess.Popen(words, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True)
        assert program.stdout.readline() == "ready\n" and RunDir(run).handles_warning.exists()
        program.send_signal(number)
        assert program.wait(20) == 75
    near = variables(tmp_path / "run", LEAVE_AT=time.time() + 0.2)
    assert python(code, tmp_path, **near).returncode == 75


@pytest.mark.parametrize("language", ["c", "fortran", "bash"])
def test_a_program_in_another_language(tmp_path: Path, language: str):
    suffix, *compiler = {"c": ["c", MPICC, "-Wall", "-Werror", "-std=c11"], "fortran": ["f90", "gfortran"], "bash": ["sh"]}[language]  # fmt: skip
    source = tmp_path / f"solver.{suffix}"
    code = page.block(language, "C with MPI" if language == "c" else "A file of steps")
    source.write_text(code.replace("CELLS = 2000000, STEPS = 200", "CELLS = 4096, STEPS = 40"))
    source.chmod(0o700)
    if compiler:
        if not shutil.which(compiler[0]):
            pytest.skip(f"no {compiler[0]} here")
        subprocess.run([*compiler, "-o", "solver", source.name], cwd=tmp_path, check=True)
    program = tmp_path / "solver" if compiler else source
    done = launch("--runs", tmp_path, "--name", "r", *WORDS, "--nodes", 1, "--ranks-per-node", 2, program)
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(tmp_path / "r")
    timed = steps.read(run, 2)
    assert timed.examples == 2 * 4096 and timed.seconds.shape == (2, 36)
    assert not any("damaged" in doubt for doubt in timed.doubts)
    result = run.result()
    assert result["steps"] == 40 and result["throughput_examples_per_s"] == pytest.approx(timed.throughput, rel=1e-6)
    assert result.get("metrics", {}).get("residual") == pytest.approx(0.9**40 if language == "fortran" else None)


def test_a_study_of_a_program(tmp_path: Path):
    """The page's example in Python, from its launch to a prediction."""
    program = page.block("python", "import rankloop").replace(
        "def train(batch): ...", "import time\ndef train(batch): time.sleep(0.01)"
    )
    (tmp_path / "mine.py").write_text(program)
    done = launch("--runs", tmp_path, "--name", "s", *WORDS, "--nodes", "1,2", "--repeats", 2, tmp_path / "mine.py")
    assert done.returncode == 0 and "this table again: " in done.stdout, done.stdout + done.stderr
    assert RunDir(tmp_path / "s" / "n2-r1").result()["metrics"] == {"accuracy": 0.97}
    assert "throughput [examples/s]" in done.stdout  # as its report prints it
    for verb in (["predict", "--nodes", "8"], ["export", "--to", "csv"]):
        command = [sys.executable, "-m", "profiling", *verb, str(tmp_path / "s")]
        shown = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
        assert shown.returncode == 0, shown.stderr
        assert "examples/s" in shown.stdout
    report = json.loads((tmp_path / "s" / "report" / "report.json").read_text())
    assert [row["workers"] for row in report["rows"]] == [1, 2] and report["kind"] == "weak"
    assert 0.5 < report["rows"][1]["efficiency"] < 1.3 and report["rows"][0]["global_batch"] == 64
    assert any("cooperate" in note and "--independent" in note for note in report["notes"])
    assert not any(value != value for row in report["rows"] for value in row.values())  # nothing is NaN


def test_a_program_that_is_stopped_goes_on(tmp_path: Path):
    code = """
import os, rankloop, sys, time
saved = rankloop.checkpoints / "step"
done = int(saved.read_text()) if saved.exists() else 0
for step in rankloop.steps(range(done, 60), examples=8, after=done):
    time.sleep(0.05)
    saved.write_text(str(step + 1))
    if rankloop.stop_requested():
        sys.exit(rankloop.STOPPED)
"""
    (tmp_path / "mine.py").write_text(code)
    words = ("--runs", tmp_path, "--name", "r", *WORDS, "--time", "0:04", "--max-attempts", 9, tmp_path / "mine.py")
    done = launch(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(tmp_path / "r")
    stops = len(run.events("started")) - 1  # in a step that is not recorded
    assert stops > 0 and run.result()["steps"] == 60 - stops and (run.checkpoints / "step").read_text() == "60"
    assert not any("failed" in event.get("outcome", "") for event in run.events("ended"))


def test_a_program_under_way_shows_signs_of_life(tmp_path: Path):
    code = "import time\nprint('mesh of 4096 cells', flush=True)\nend = time.time() + 60\nwhile time.time() < end: pass"
    (tmp_path / "mine.py").write_text(code)
    launch("--runs", tmp_path, "--name", "r", "--backend", "local", "--sample-hz", 5, "--detach", tmp_path / "mine.py")
    try:
        command = [sys.executable, "-m", "profiling", "watch", "--once", str(tmp_path / "r")]

        def watched() -> str:
            shown = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True).stdout
            return shown if "cores busy" in shown else ""

        shown = until(watched, 60)
        assert re.search(
            r"activity +running for 00:00:\d\d, [01]\.\d cores busy, \d+ s since its last line: 0: mesh of", shown
        )
        assert "0: mesh of 4096 cells" in launch("status", tmp_path / "r").stdout
    finally:
        launch("cancel", tmp_path / "r")


def test_a_wheel_has_it_too(tmp_path: Path):
    uv = Path(sys.executable).with_name("uv")
    build = [uv, "build", "--wheel", "--offline", "--quiet", "--out-dir", tmp_path, ROOT]
    if not uv.exists() or (built := subprocess.run(build, capture_output=True, text=True)).returncode:
        pytest.skip(f"no wheel can be built here: {built.stderr if uv.exists() else 'no uv'}")
    site = tmp_path / "site"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    (tmp_path / "program.py").write_text("import rankloop\nprint(rankloop.__file__)\nlist(rankloop.steps('abc'))")
    start = f"import sys; sys.path.append({str(site)!r}); from rankloop.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-S", "-c", start, "--name", "r", *WORDS, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(PYTHONPATH=""), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(tmp_path / "runs" / "r")
    assert f"{site}/launch/inside/rankloop/__init__.py" in run.node_log(0).read_text() and run.result()["steps"] == 3
    read = f"import sys; sys.path.insert(0, {str(site)!r}); import rankloop; print(rankloop.Study('runs/r').status())"
    done = subprocess.run([sys.executable, "-c", read], cwd=tmp_path, env=environment(PYTHONPATH=""), capture_output=True, text=True)  # fmt: skip
    assert re.search(r"runs/r +done", done.stdout), done.stderr
