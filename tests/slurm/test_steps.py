"""Launchers within a job, by salloc and in its script: their runs are steps of it, and the job itself is left alone."""

import contextlib
import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from launched import ROOT, environment, facts, launch, until
from slurm.fixtures import Cluster

from launch.record.rundir import RunDir

LAUNCH = shlex.join([sys.executable, "-m", "launch", "--sample-hz", "0"])
SAY = """
import json, os, sys, time
print(json.dumps({name: os.environ.get(name) for name in
    ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURMD_NODENAME", "LAUNCH_RANK", "LAUNCH_SIZE", "SLURM_HOSTFILE", "CUDA_VISIBLE_DEVICES")}
    | {"began": time.time()}), flush=True)
time.sleep(float(sys.argv[1]))
sys.exit(int(sys.argv[2]) if sys.argv[2:] and "r2" in os.environ["LAUNCH_RUN"] else 0)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(SAY)
    return path


def salloc(*words: str) -> list[str]:
    return ["salloc", "-Q", "-t", "5", *words]


def within(script: str, *options: str, wait: float = 90) -> subprocess.CompletedProcess:
    """A shell script in an interactive allocation."""
    command = [*salloc(*options), "bash", "-c", script]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=wait)


@contextlib.contextmanager
def job(folder: Path, script: str, *options: str) -> Iterator[str]:
    """The number of a job that runs this script."""
    path = folder / "job.sh"
    path.write_text(f"#!/bin/bash\ncd {shlex.quote(str(ROOT))}\n{script}\n")
    words = ["sbatch", "--parsable", "-t", "5", f"--output={folder / 'job.out'}", *options, str(path)]
    yield subprocess.run(words, check=True, capture_output=True, text=True, env=environment()).stdout.strip()


def squeue(*words: str) -> list[str]:
    return subprocess.run(["squeue", "-h", *words], capture_output=True, text=True, check=True).stdout.split()


def steps_of(number: str) -> list[str]:
    """The steps of a job but that of its script."""
    return [step for step in squeue("-s", "-o", "%i", "-j", number) if not step.endswith(("batch", "extern"))]


def said(run: RunDir) -> list[dict[str, str]]:
    lines = [line for path in sorted(run.logs.glob("node*.log")) for line in path.read_text().splitlines()]
    return [json.loads(line.partition(": ")[2]) for line in lines if line.partition(": ")[2].startswith("{")]


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def begun(run: RunDir) -> list[dict[str, str]]:
    return said(run) if run.node_log(0).exists() else []


def test_a_run_is_a_step_of_an_interactive_allocation(clean_slurm: Cluster, tmp_path: Path, program: Path):
    run = f"{LAUNCH} --nodes 2 --runs {tmp_path} --name"
    script = f"""echo "have $SLURM_JOB_ID"
        SLURM_HOSTFILE=/dev/null SLURM_EXIT_IMMEDIATE=1 {run} a {program} 0; {run} b --gpus-per-node 1 --wait {program} 0 | grep shape
        srun --overlap -N1 -n1 {run} nested --gpus-per-node 1 --wait {program} 0 >/dev/null; squeue -h -o 'in the queue %i'"""
    done = within(script, "-N3", "--gpus-per-node=2", "-c2")
    assert done.returncode == 0, done.stdout + done.stderr
    (have,) = re.findall("have ([0-9]+)", done.stdout)
    ranks = said(RunDir(tmp_path / "a"))
    # One rank for each of its GPUs, on two of its nodes.
    assert {rank["SLURM_JOB_ID"] for rank in ranks} == {have}
    assert sorted((rank["SLURMD_NODENAME"], int(rank["LAUNCH_RANK"])) for rank in ranks) == [
        ("node1", 0), ("node1", 1), ("node2", 2), ("node2", 3)
    ]  # fmt: skip
    assert {rank["CUDA_VISIBLE_DEVICES"] for rank in ranks} == {"0,1"}
    assert re.search(
        rf"^backend +steps of job {have} \(3 nodes, 00:04:.. left\), on 2 of its nodes$", done.stdout, re.M
    )
    assert re.search("left out +SLURM_EXIT_IMMEDIATE, SLURM_HOSTFILE: ", done.stdout)
    assert "2 nodes x 1 rank = 2 ranks, 1 GPU per node" in done.stdout
    assert {rank["CUDA_VISIBLE_DEVICES"] for rank in said(RunDir(tmp_path / "b"))} == {"0"}
    assert len(said(RunDir(tmp_path / "nested"))) == 2
    assert done.stdout.split("in the queue ")[1:] == [f"{have}\n"]  # no other job
    assert RunDir(tmp_path / "a").surroundings()["host"] == "node1" if clean_slurm.own_hosts else True
    state = json.loads(launch("status", "--json", tmp_path / "a").stdout)[0]
    assert (state["state"], state["hosts"]) == ("done", "node1,node2") and state["job"].startswith(f"{have}:")


def test_runs_of_a_study_go_on_side_by_side_or_one_after_the_other(clean_slurm: Cluster, tmp_path: Path, program: Path):
    study = f"{LAUNCH} --wait --runs {tmp_path}"
    script = f"{study} --repeats 3 --name beside {program} 1 3; {study} --repeats 2 --throttle 1 --name after {program} 0; echo over"
    with job(tmp_path, script, "-N2"):
        output = str(until(lambda: "over" in (text := read(tmp_path / "job.out")) and text))
    plans = re.findall("^backend +(.*)", output, re.M)
    assert re.fullmatch(r"steps of job \d+ \(2 nodes, \S+ left\), up to 2 runs side by side", plans[0])
    assert plans[1].endswith(", one run after the other")
    beside = [said(RunDir(tmp_path / "beside" / f"n1-r{repeat}"))[0] for repeat in (1, 2, 3)]
    assert {rank["SLURMD_NODENAME"] for rank in beside[:2]} == {"node1", "node2"}
    assert abs(beside[0]["began"] - beside[1]["began"]) < 1 < beside[2]["began"] - min(rank["began"] for rank in beside)
    # The bad one hides none.
    assert "2 of 3 runs are done" in output and "rank 0 on node 0 (node" in output and "exit status 3" in output
    after = [RunDir(tmp_path / "after" / f"n1-r{repeat}") for repeat in (1, 2)]
    times = [event["time"] for run in after for event in run.events() if event["event"] in ("started", "ended")]
    assert times == sorted(times) and all(run.result() for run in after)


def test_what_does_not_fit_is_refused_and_a_new_job_may_have_it(clean_slurm: Cluster, tmp_path: Path, program: Path):
    defaults, mine = tmp_path / "defaults.toml", f"{LAUNCH} --runs {tmp_path / 'runs'}"
    defaults.write_text('[job]\naccount = "nobody"\ntime = 600\npartition = "low"\n')
    refused = {
        "-N 3": "--nodes 3 is more than job {} has (2): ask for fewer, or give --new-job",
        "--time 10": "--time 00:10:00 is more than is left of job {} (",
    }
    lines = "\n".join(f"{mine} {options} {program} 0 2>&1 | tail -1" for options in refused)
    script = f"""echo $SLURM_JOB_ID; {lines}; ls {tmp_path / "runs"} 2>&1 | head -1
        RANKLOOP_DEFAULTS={defaults} {mine} --dry-run {program} 0 | grep -E 'backend|passed|srun'
        {mine} --new-job --name new {program} 0; SLURM_JOB_ID=99999 {mine} --dry-run {program} 0"""
    done = within(script, "-N2", "-c4")
    number, *answers = done.stdout.splitlines()
    for answer, expected in zip(answers, refused.values()):
        assert answer.startswith(f"launch: {expected.format(number)}"), answer
    rest = answers[len(refused) :]
    assert "No such file" in rest[0]  # nothing was made
    assert re.match(rf"backend +steps of job {number}", rest[1]) and "--jobid=" + number in "\n".join(rest)
    assert re.match("passed over +partition, account, time: only a new job", rest[2])
    (new,) = said(RunDir(tmp_path / "runs" / "new"))
    assert new["SLURM_JOB_ID"] != number
    stale = done.stdout[done.stdout.index("allocation ") :]
    assert (
        facts(stale)["allocation"].startswith("none: job 99999 of SLURM_JOB_ID") and facts(stale)["backend"] == "slurm"
    )


def test_cancel_ends_the_step_of_a_run_and_never_the_job(clean_slurm: Cluster, tmp_path: Path, program: Path):
    script = f"{LAUNCH} --runs {tmp_path} --repeats 2 --name s {program} 60 0; sleep 30"
    runs = [RunDir(tmp_path / "s" / f"n1-r{repeat}") for repeat in (1, 2)]
    with job(tmp_path, script, "-N2") as number:
        until(lambda: all(map(begun, runs)), 40)
        # From outside of the job, whose launcher is on its first node.
        one = launch("cancel", runs[0].path)
        assert one.returncode == 0 and "n1-r1: ended" in one.stdout, one.stdout + one.stderr
        states = {each["path"]: each["state"] for each in json.loads(launch("status", "--json", tmp_path / "s").stdout)}
        assert states == {str(runs[0].path): "cancelled", str(runs[1].path): "running"}
        assert len(until(lambda: len(found := steps_of(number)) == 1 and found, 10)) == 1
        assert launch("cancel", tmp_path / "s").returncode == 0
        assert until(lambda: not steps_of(number), 10) and squeue("-j", number, "-o", "%T") == ["RUNNING"]
        assert "started" not in [event["event"] for event in runs[0].events()][2:]
        # Elsewhere it is a job of its own.
        words = launch("resume", tmp_path / "s", "--detach", "--take-over", "--time", 1)
        assert words.returncode == 0 and re.search("backend +slurm", words.stdout), words.stdout + words.stderr
        assert launch("cancel", tmp_path / "s").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_step_ends_with_its_launcher(clean_slurm: Cluster, tmp_path: Path, program: Path, number: int):
    script = f"echo have $SLURM_JOB_ID; {LAUNCH} --runs {tmp_path} --name t {program} 60 0; echo rc $?; sleep 2"
    outer = subprocess.Popen(
        [*salloc("-N1"), "bash", "-c", script], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        run = RunDir(tmp_path / "t")
        until(lambda: begun(run), 40)
        everyone = psutil.Process(outer.pid).children(recursive=True)
        (launcher,) = [each for each in everyone if each.cmdline()[1:3] == ["-m", "launch"]]
        launcher.send_signal(number)
        assert outer.stdout
        status = next(line for line in outer.stdout if line.startswith("rc "))
        assert status == ("rc 137\n" if number == signal.SIGKILL else "rc 130\n")
        (own,) = squeue("-o", "%i")
        assert until(lambda: not steps_of(own), 10) is True
        state = json.loads(launch("status", "--json", run.path).stdout)[0]["state"]
        assert state == ("lost" if number == signal.SIGKILL else "cancelled")
        assert not outer.wait(20)
    finally:
        outer.kill()


@pytest.mark.slow
def test_at_the_end_of_the_allocation_runs_stop_and_no_other_begins(clean_slurm: Cluster, tmp_path: Path):
    program = tmp_path / "asks.py"
    program.write_text(
        "import rankloop, sys, time\nwhile not rankloop.stop_requested():\n    time.sleep(0.1)\nsys.exit(75)\n"
    )
    with job(tmp_path, f"{LAUNCH} --runs {tmp_path} --repeats 2 --name s {program}", "-N1", "-t", "1"):
        runs = [RunDir(tmp_path / "s" / f"n1-r{repeat}") for repeat in (1, 2)]
        until(lambda: all(run.path.exists() and run.events("ended") for run in runs), 70)
    assert [run.events("ended")[0]["outcome"] for run in runs] == ["stopped", "stopped"]
    assert len(runs[0].events("started")) == 1 and not runs[1].events("started")
