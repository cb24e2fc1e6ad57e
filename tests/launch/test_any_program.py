"""Programs that are not Python, as ranks of this machine: their words, streams, signals and ends; and whether their ranks meet."""

import dataclasses
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from launched import ROOT, Launched, environment, facts, gone, launch, until
from mpi_program import MPICC, compiled, needs_mpi

from launch.plan.target import cooperation
from launch.record.cooperation import expected, seen
from launch.record.files import read_json
from launch.record.rundir import RunDir

SAY_WORDS = """#!/bin/bash
printf '%s:' "$RANK" "$LAUNCH_SIZE" "${0##*/}" "$PWD"
printf '%s' "$@" | od -An -tx1 -v | tr -d ' \\n'
echo ":$#"
"""
ENDS = {
    "exit status 3": "exit 3",
    "ended by SIGSEGV": "kill -SEGV $$",
    "ended by SIGKILL": "kill -KILL $$",
}


def script(path: Path, text: str) -> Path:
    path.write_text(text if text.startswith("#!") else f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return path


def options(folder: Path, *words: object) -> list[object]:
    return ["--backend", "local", "--sample-hz", 0, "--runs", folder, "--name", "run", *words]


def lines(run: RunDir, rank: int) -> list[str]:
    """What a rank has printed."""
    found = [line for log in sorted(run.logs.glob("node*.log")) for line in log.read_text().splitlines()]
    return [line.partition(": ")[2] for line in found if line.startswith(f"{rank}: ")]


def ranks_line(done: subprocess.CompletedProcess) -> str:
    """What the end of a run says of its ranks; empty if nothing."""
    return next((line for line in done.stdout.splitlines() if line.startswith("ranks: ")), "")


@pytest.fixture(scope="module")
def mpi_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("mpi"))


@pytest.mark.parametrize("how", ["path", "name", "definition"])
def test_every_word_arrives_byte_for_byte(tmp_path: Path, how: str):
    given = ["-N", "4", "--", "", "a b", "line\nline", "--name=other", os.fsdecode(b"\xff\xfe"), "-h", "{x}", "'\""]
    program = script(tmp_path / "say", SAY_WORDS)
    if how == "definition":
        words = ["-N", 2, tmp_path / "job.toml"]
        given.remove(os.fsdecode(b"\xff\xfe"))  # TOML is UTF-8
        (tmp_path / "job.toml").write_text(f"workload = {json.dumps(str(program))}\narguments = {json.dumps(given)}\n")
    else:
        words = ["-N", 2, *([program] if how == "path" else ["--", "say"]), *given]
    done = subprocess.run(
        [sys.executable, "-m", "launch", *map(str, options(tmp_path, *words))],
        cwd=ROOT, env=environment(PATH=f"{tmp_path}:{os.environ['PATH']}"), capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run, sent = RunDir(tmp_path / "run"), b"".join(map(os.fsencode, given)).hex()
    for rank in (0, 1):
        assert lines(run, rank) == [f"{rank}:2:say:{ROOT}:{sent}:{len(given)}"]


@pytest.mark.parametrize("error", ENDS)
def test_the_end_of_a_program_is_that_of_its_rank(tmp_path: Path, error: str):
    program = script(tmp_path / "ends", f"echo about to; if [ $RANK = 1 ]; then {ENDS[error]}; fi; sleep 100")
    done = launch(*options(tmp_path, "-N", 2, program))
    assert done.returncode == 1 and "Traceback" not in done.stdout
    failure = f"rank 1 on node 1 ({os.uname().nodename}) failed first: {error}\n    about to\n"
    assert failure in done.stdout
    (record,) = RunDir(tmp_path / "run").failures.joinpath("node1.jsonl").read_text().splitlines()
    assert json.loads(record)["error"] == error
    assert not list(tmp_path.rglob("core*"))


def test_signals_reach_a_program_and_what_it_has_started_once(tmp_path: Path):
    """A shell script in the middle of a command, which hears of a signal only if that ends its command."""
    text = "trap 'echo asked' TERM; trap 'echo warned' USR2; echo here $$; sleep 100; echo over; exec sleep 100"
    launched = Launched(*options(tmp_path, "-N", 2, script(tmp_path / "waits", text)))
    run = RunDir(tmp_path / "run")
    until(lambda: all(run.node_log(node).exists() and lines(run, node) for node in (0, 1)), 30)
    children = [psutil.Process(int(lines(run, rank)[0].split()[1])) for rank in (0, 1)]
    every = [process for child in children for process in (child, *child.children(recursive=True))]
    for child in children:
        child.parent().send_signal(signal.SIGUSR2)  # nobody has said that the program handles it: it is not passed on
    children[0].parent().send_signal(signal.SIGTERM)
    until(lambda: "over" in lines(run, 0), 10)
    assert [line for line in lines(run, 0)[1:] if line != "Terminated"] == [
        "asked",
        "over",
    ]  # bash names what ended its command
    assert len(lines(run, 1)) == 1
    for _ in range(2):  # rank 1 goes on at the first
        launched.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    assert launched.wait()[0] == 130
    assert gone(every, 10) and not list(run.failures.glob("*"))


def test_a_script_may_use_the_signal_of_the_warning_itself(tmp_path: Path):
    """A shell that starts with the signal ignored could set no trap for it."""
    done = launch(*options(tmp_path, script(tmp_path / "own", "trap 'echo heard' USR2; kill -USR2 $$; echo over")))
    assert (done.returncode, lines(RunDir(tmp_path / "run"), 0)) == (0, ["heard", "over"]), done.stderr


def test_a_program_saves_is_started_again_and_goes_on(tmp_path: Path):
    text = """
trap 'echo saved; exit 75' USR2
echo attempt $LAUNCH_ATTEMPT
[ "$LAUNCH_ATTEMPT" != 2 ] || exit 5
[ "$LAUNCH_ATTEMPT" != 3 ] || exit 0
while :; do sleep 0.1; done"""
    program = script(tmp_path / "saves", text)
    done = launch(*options(tmp_path, "-N", 2, "--time", "0:05", "--warn", 3, "--max-attempts", 2, program))
    run = RunDir(tmp_path / "run")
    assert done.returncode == 1 and "exit status 5" in done.stdout, done.stdout + done.stderr
    assert [event["outcome"] for event in run.events("ended")] == ["stopped", "failed"]
    again = launch("resume", run.path)
    assert again.returncode == 0, again.stdout + again.stderr
    own = [line for line in lines(run, 1) if line.startswith(("attempt", "saved"))]
    assert own == ["attempt 1", "saved", "attempt 2", "attempt 3"]
    assert run.result()["attempts"] == 3


def test_a_program_has_the_streams_and_descriptors_of_its_rank(tmp_path: Path):
    """As PMI_FD, by which MPI talks to mpirun and Slurm, and what comes from srun's input."""
    reading, writing = os.pipe()
    code = f"from launch.node.program import child; child.run(['bash', '-c', 'cat; echo over >&{writing}; exit 7'], '/', True)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, pass_fds=[writing], input=b"a line", capture_output=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (7, b"a line"), done.stderr
    assert os.read(reading, 100) == b"over\n"
    os.close(reading)
    os.close(writing)


def test_what_cannot_run_here_is_bad_input_of_one_line(tmp_path: Path):
    program = script(tmp_path / "lacks", "#!/opt/none/interpreter\n")
    before = set(tmp_path.iterdir())
    done = launch(*options(tmp_path, "-N", 2, program))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert f"{program} is to be run by '/opt/none/interpreter'" in done.stderr
    assert set(tmp_path.iterdir()) == before


def test_what_vanishes_before_it_runs_is_bad_input_too(tmp_path: Path):
    program = script(tmp_path / "here", "echo never")
    words = [*options(tmp_path, "--detach", program)]
    assert launch(*options(tmp_path, "--dry-run", program)).returncode == 0
    code = f"import sys, launch.__main__ as m, os; from launch.submit import order; create = order.Planned.create; order.Planned.create = lambda self: (create(self), os.chmod({str(program)!r}, 0o644)); sys.exit(m.main(sys.argv[1:]))"
    words = [str(word) for word in words if word != "--detach"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "there is no program" in done.stdout and "Traceback" not in done.stdout + done.stderr


@needs_mpi
def test_a_program_with_mpi_is_started_as_one(tmp_path: Path, mpi_program: Path):
    done = launch(*options(tmp_path, "-N", 2, "--ranks-per-node", 2, mpi_program))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "libmpi" in facts(done.stdout)["ranks"] and "--rendezvous mpi" in facts(done.stdout)["ranks"]
    run = RunDir(tmp_path / "run")
    assert [lines(run, rank) for rank in range(4)] == [[f"{rank} of 4, 6"] for rank in range(4)]
    assert not ranks_line(done)


@needs_mpi
def test_a_crash_under_mpi_is_named(tmp_path: Path, mpi_program: Path):
    done = launch(*options(tmp_path, "-N", 2, mpi_program, "crash"))
    assert done.returncode == 1
    assert f"rank 1 on node 1 ({os.uname().nodename}) failed first: ended by SIGSEGV" in done.stdout


@pytest.mark.skipif(
    not importlib.util.find_spec("mpi4py") or not MPICC.exists(), reason="there is no mpi4py with its MPI"
)
@pytest.mark.parametrize("rendezvous", ["", "gloo"])
def test_ranks_of_mpi4py_meet_or_it_is_said_that_they_have_not(tmp_path: Path, rendezvous: str):
    program = tmp_path / "world.py"
    program.write_text("from mpi4py import MPI\nprint(MPI.COMM_WORLD.size)")
    done = launch(*options(tmp_path, "-N", 2, *(["--rendezvous", rendezvous] if rendezvous else []), program))
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(tmp_path / "run")
    if rendezvous:
        assert [lines(run, rank) for rank in (0, 1)] == [["1"], ["1"]]
        assert "mpi4py knew of 1 rank where 2 were started" in ranks_line(done) and "--rendezvous mpi" in ranks_line(
            done
        )
    else:
        assert [lines(run, rank) for rank in (0, 1)] == [["2"], ["2"]]
        assert not ranks_line(done) and read_json(run.world_json) == {"attempt": 1, "by": "mpi4py", "size": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [("#!/usr/bin/env python3\nprint('alone')", "nothing was found"), ("#!/bin/bash\necho alone", "is not known")],
    ids=["python", "shell"],
)
def test_ranks_that_do_not_know_each_other_are_no_silent_success(tmp_path: Path, text: str, said: str):
    program = script(tmp_path / "alone", text)
    done = launch(*options(tmp_path, "-N", 2, program))
    assert done.returncode == 0, done.stdout + done.stderr
    for line in (facts(done.stdout)["ranks"], ranks_line(done)):
        assert said in line and "on its own" in line and "--independent" in line
    run = RunDir(tmp_path / "run")
    planned = run.plan()
    for change in (
        {"independent": True},
        {"nodes": 1},
        {"cooperation": cooperation.BY_NUMBER},
        {"cooperation": "horovod"},
    ):
        other = dataclasses.replace(planned, **change)
        assert not seen(run, other) and "on its own" not in expected(other).replace(
            "its own, as --independent says", ""
        )
    apart = dataclasses.replace(planned, cooperation="MPI (libmpi.so.40)", rendezvous="gloo")
    for words in (expected(apart), seen(run, apart)):
        assert "on its own" in words and words.endswith("give --rendezvous mpi")
    assert not seen(run, dataclasses.replace(apart, rendezvous="mpi"))


JAX = """
import jax
jax.distributed.initialize()
from jax.experimental import multihost_utils
print(jax.process_index(), jax.process_count(), int(multihost_utils.process_allgather(jax.numpy.array(jax.process_index())).sum()))
"""
KERAS = """
import os
os.environ["KERAS_BACKEND"] = "jax"
import keras
keras.distribution.initialize()
import jax
print(jax.process_index(), jax.process_count(), sum(range(len(keras.distribution.list_devices()))))
"""
TORCH = """
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
dist.init_process_group("gloo")
model = DistributedDataParallel(torch.nn.Linear(1, 1, bias=False))
model(torch.full((1, 1), float(dist.get_rank()))).sum().backward()
print(dist.get_rank(), dist.get_world_size(), int(2 * model.module.weight.grad.item()))
"""
TENSORFLOW = """
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
worker = strategy.cluster_resolver.task_id
def step():
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(context.replica_id_in_sync_group, tf.float32))
print(worker, strategy.num_replicas_in_sync, int(strategy.run(tf.function(step)).numpy()))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "text"),
    [("jax", JAX), ("jax", KERAS), ("torch", TORCH), ("tensorflow", TENSORFLOW)],
    ids=["jax", "keras on jax", "torch", "tensorflow"],
)
def test_an_unchanged_script_finds_the_other_ranks(tmp_path: Path, package: str, text: str):
    if not importlib.util.find_spec(package):
        pytest.skip(f"{package} is not installed for {sys.executable}")
    program = tmp_path / "meets.py"
    program.write_text(text)
    done = launch(*options(tmp_path, "-N", 2, program))
    assert done.returncode == 0, done.stdout + done.stderr
    assert facts(done.stdout)["ranks"].startswith("cooperate by ") and not ranks_line(done)
    run = RunDir(tmp_path / "run")
    for rank in (0, 1):
        assert f"{rank} 2 1" in lines(run, rank)


def test_a_program_in_a_container_is_the_one_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With a stand-in for the runtime, in which a program is on PATH that is not outside."""
    (tmp_path / "inside").mkdir()
    script(tmp_path / "inside" / "solver", "echo solved $RANK")
    text = f"""#!{sys.executable}
import os, sys
words = sys.argv[sys.argv.index("env"):]
os.environ["PATH"] = {str(tmp_path / "inside")!r} + ":" + os.environ["PATH"]
os.execvp(words[0], words)
"""
    script(tmp_path / "apptainer", text)
    site = tmp_path / "here.toml"
    site.write_text(f'backend = "local"\ncontainer = "apptainer"\ncontainer_python = "{sys.executable}"\n')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    words = ["--site", site, "-N", 2, "--runs", tmp_path / "runs", "--name", "two", "--sample-hz", 0]
    assert launch(*words, "--", "solver").returncode == 2
    done = launch(*words, "--container=docker://a/b", "--", "solver")
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(tmp_path / "runs" / "two")
    assert [lines(run, rank) for rank in (0, 1)] == [["solved 0"], ["solved 1"]]
    assert re.search("not known", ranks_line(done))
