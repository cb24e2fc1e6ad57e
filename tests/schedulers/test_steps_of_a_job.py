"""Launchers within a job of PBS or Flux: their runs are steps of it, and the job itself is left alone. For the same under
Slurm see tests/slurm/test_steps.py."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from launched import ROOT, environment, facts, launch, until
from schedulers.fixtures import StandIn
from schedulers.test_schedulers import script

from launch.record.rundir import RunDir

LAUNCH = shlex.join([sys.executable, "-m", "launch", "--sample-hz", "0"])
# A rank says who it is, and on which host; waits, and ends with a status in the run r2.
SAY = """
import json, os, sys, time
print(json.dumps({name: os.environ.get(name) for name in ("LAUNCH_RANK", "LAUNCH_SIZE", "STAND_IN_HOST")}
    | {"began": time.time()}), flush=True)
time.sleep(float(sys.argv[1]))
sys.exit(int(sys.argv[2]) if sys.argv[2:] and "r2" in os.environ["LAUNCH_RUN"] else 0)
"""
KEPT = ("PYTHONPATH", "RANKLOOP_SITE", "RANKLOOP_DEFAULTS", "PYTHONPYCACHEPREFIX")


@pytest.fixture(params=["pbs", "flux"])
def scheduler(request: pytest.FixtureRequest) -> StandIn:
    return request.getfixturevalue(f"clean_{request.param}")


def job(scheduler: StandIn, folder: Path, text: str, nodes: int = 2, minutes: float = 5) -> str:
    """Submit a script of a user's own, with 4 cores and 2 GPUs a node; return the id of the job."""
    path, out, env = folder / "job.sh", folder / "job.out", environment()
    exports = "\n".join(f"export {name}={shlex.quote(env[name])}" for name in KEPT if name in env)
    path.write_text(f"#!/bin/bash\n{exports}\ncd {shlex.quote(str(ROOT))}\nexec 2>&1\n{text}\necho over\n")
    seconds = int(60 * minutes)
    words = {
        "pbs": ["qsub", "-l", f"select={nodes}:ncpus=4:ngpus=2", "-l", f"walltime={seconds}", "-o", out, "--", "/bin/bash", "-l", path],
        "flux": ["flux", "batch", "-N", nodes, "-n", nodes, "-c", 4, "-g", 2, "-t", f"{seconds}s", f"--output={out}", path],
    }[scheduler.name]  # fmt: skip
    done = subprocess.run(list(map(str, words)), env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    id = done.stdout.split()[-1]
    return id if scheduler.name == "pbs" else str(int(id.removeprefix("ƒ"), 16))


def output(folder: Path, wait: float = 90) -> str:
    """What the job's script has printed, once it is over."""
    out = folder / "job.out"
    return str(until(lambda: out.exists() and (text := out.read_text()).endswith("over\n") and text, wait))


def said(run: RunDir) -> list[dict]:
    lines = [line for path in sorted(run.logs.glob("node*.log")) for line in path.read_text().splitlines()]
    return [json.loads(line.partition(": ")[2]) for line in lines if line.partition(": ")[2].startswith("{")]


def begun(run: RunDir) -> list[dict]:
    return said(run) if run.node_log(0).exists() else []


def state(run: RunDir) -> dict:
    return json.loads(launch("status", "--json", run.path).stdout)[0]


def test_runs_are_steps_of_the_job(scheduler: StandIn, tmp_path: Path):
    """Also of two launchers at once, of which one makes its runs one after the other; and as many side by side as fit."""
    program, study = script(tmp_path, SAY), f"{LAUNCH} --wait --gpus-per-node 0 --runs {tmp_path}"
    id = job(
        scheduler,
        tmp_path,
        f"""{study} -N 2 --ranks-per-node 2 --name one {program} 1 >{tmp_path}/one.out &
        {study} --repeats 2 --throttle 1 --name after {program} 0 >{tmp_path}/after.out &
        {LAUNCH} -N 2 --dry-run --name=dry {program} >{tmp_path}/dry.out
        wait
        {study} --repeats 3 --name beside {program} 1.5 3 >{tmp_path}/beside.out""",
        nodes=3,
    )
    output(tmp_path)
    printed = {name: (tmp_path / f"{name}.out").read_text() for name in ("one", "after", "dry", "beside")}
    plans = {name: facts(text)["backend"] for name, text in printed.items()}
    by = {"pbs": "pbs_tmrsh", "flux": "flux"}[scheduler.name]
    of = rf"steps of job {re.escape(id)} \(3 nodes, 00:04:.. left\), ranks start by {by}"
    assert re.fullmatch(rf"{of}, on 2 of its nodes", plans["one"]) and re.fullmatch(
        rf"{of}, up to 3 runs side by side", plans["beside"]
    )
    assert re.fullmatch(rf"{of}, one run after the other", plans["after"])
    assert [each[0] for each in scheduler.control("jobs")][-1] == id  # no other job
    one = sorted(said(RunDir(tmp_path / "one")), key=lambda rank: rank["LAUNCH_RANK"])
    assert [(rank["LAUNCH_RANK"], rank["LAUNCH_SIZE"]) for rank in one] == [(str(rank), "4") for rank in range(4)]
    found = state(RunDir(tmp_path / "one"))
    assert found["state"] == "done" and found["job"].startswith(f"{id}:")
    after = [RunDir(tmp_path / "after" / f"n1-r{repeat}") for repeat in (1, 2)]
    hosts = [found["hosts"], after[0].events("started")[0]["nodes"]]
    assert sorted(",".join(hosts).split(",")) == ["n1", "n2", "n3"]
    times = [event["time"] for run in after for event in run.events() if event["event"] in ("started", "ended")]
    assert times == sorted(times) and all(run.result() for run in after)
    beside = [RunDir(tmp_path / "beside" / f"n1-r{repeat}") for repeat in (1, 2, 3)]
    assert {run.events("started")[0]["nodes"] for run in beside} == {"n1", "n2", "n3"}
    times = [event["time"] for run in beside for event in run.events("started")]
    assert max(times) < min(event["time"] for run in beside for event in run.events("ended"))
    # The bad one hides none.
    text = printed["beside"]
    assert "2 of 3 runs are done" in text and re.search("rank 0 on node 0 .*exit status 3", text), text
    # Where the job has GPUs, so have its steps.
    assert "2 nodes x 2 ranks" in printed["dry"] and "2 GPUs per node" in printed["dry"]
    command = {"pbs": "--on n1,n2", "flux": "flux run -N 2 -n 4 -c 2 -g 1 -o exit-on-error --requires=host:n1,n2"}
    assert command[scheduler.name] in printed["dry"]


def test_what_does_not_fit_is_refused_and_a_new_job_may_have_it(scheduler: StandIn, tmp_path: Path):
    program, mine = script(tmp_path, SAY), f"{LAUNCH} --runs {tmp_path / 'runs'}"
    lines = {
        "-N 3": "--nodes 3 is more than job {} has (2): ask for fewer, or give --new-job",
        "--time 10": "--time 00:10:00 is more than is left of job {} (",
        "-A proj": "--account is for a new job, and this runs in job {}, of which the runs become steps",
        "--gpus-per-node 3": "--gpus-per-node 3 is more than a node of job {} has (2): ask for fewer, or give --new-job",
    }
    id = job(
        scheduler,
        tmp_path,
        "\n".join(f"{mine} {words} {program} 0 2>&1 | tail -1 >{tmp_path}/{i}.out &" for i, words in enumerate(lines))
        + f"\nwait\nls {tmp_path / 'runs'} | head -1\n{mine} --new-job -N 3 --gpus-per-node 0 --name new {program} 0",
    )
    printed = output(tmp_path)
    for i, expected in enumerate(lines.values()):
        answer = (tmp_path / f"{i}.out").read_text()
        assert answer.startswith(f"launch: {expected.format(id)}"), answer
    assert "No such file" in printed.splitlines()[0]  # nothing was made
    new = RunDir(tmp_path / "runs" / "new")
    assert len(said(new)) == 3 and new.events("started")[0]["job"] != id
    stale = {"pbs": "PBS_JOBID", "flux": "FLUX_ENCLOSING_ID"}[scheduler.name]
    os.environ[stale] = id if scheduler.name == "pbs" else "999"
    try:
        gone = launch("--dry-run", "--name=dry", program)
    finally:
        del os.environ[stale]
    if scheduler.name == "pbs":
        assert re.search(rf"^allocation +none: job {id} of PBS_JOBID has ended$", gone.stdout, re.M), gone.stderr
    else:
        assert gone.returncode == 2 and "Flux does not answer" in gone.stderr and gone.stderr.count("\n") == 1


SLOW = pytest.mark.slow  # what is tested is the same code for both


@pytest.mark.parametrize(
    ("scheduler", "end"),
    [
        ("pbs", "cancel"),
        ("flux", signal.SIGINT),
        pytest.param("pbs", signal.SIGKILL, marks=SLOW),
        pytest.param("flux", "cancel", marks=SLOW),
        pytest.param("pbs", signal.SIGINT, marks=SLOW),
        pytest.param("flux", signal.SIGKILL, marks=SLOW),
    ],
    indirect=["scheduler"],
)
def test_a_step_ends_by_itself_or_with_its_launcher(scheduler: StandIn, tmp_path: Path, end: object):
    """And the job goes on."""
    program = script(tmp_path, SAY)
    id = job(
        scheduler, tmp_path, f"{LAUNCH} --gpus-per-node 0 --runs {tmp_path} -N 2 --name t {program} 60; echo rc $?"
    )
    run = RunDir(tmp_path / "t")
    until(lambda: len(begun(run)) == 2, 60)
    if end == "cancel":
        # From another host nobody reaches the launcher, which neither PBS nor Flux changes.
        process = run.path / "jobs" / "1" / "process"
        here = process.read_text()
        process.write_text(json.dumps(json.loads(here) | {"host": "elsewhere"}))
        assert (state(run)["state"], state(run)["reason"]) == ("unknown", "started on elsewhere: ask there")
        refused = launch("cancel", run.path)
        assert refused.returncode == 2 and "elsewhere" in refused.stderr, refused.stdout + refused.stderr
        assert refused.stderr.count("\n") == 1
        process.write_text(here)
        done = launch("cancel", run.path)
        assert done.returncode == 0 and "ended" in done.stdout, done.stdout + done.stderr
    else:
        (launcher,) = [each for each in psutil.process_iter() if _is(each, str(run.path.parent), "t")]
        launcher.send_signal(int(str(int(end))))  # type: ignore[call-overload]
    status = {"cancel": 1, signal.SIGINT: 130, signal.SIGKILL: 137}[end]  # type: ignore[index]
    printed = output(tmp_path)
    if end != "cancel":
        assert f"rc {status}\n" in printed, printed
    assert until(lambda: not _ranks(run), 20) is True
    assert state(run)["state"] == ("lost" if end == signal.SIGKILL else "cancelled")
    assert [[each[2], each[4]] for each in scheduler.control("jobs") if each[0] == id] == [["ended", 0]]


def _is(process: psutil.Process, folder: str, name: str) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return words[1:3] == ["-m", "launch"] and folder in words and name in words


def _ranks(run: RunDir) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            found += [process] * (process.environ().get("LAUNCH_RUN") == str(run.path))
        except psutil.Error:
            continue
    return found


@SLOW
def test_at_the_end_of_the_job_runs_stop_and_no_other_begins(scheduler: StandIn, tmp_path: Path):
    program = script(
        tmp_path,
        "import rankloop, sys, time\nwhile not rankloop.stop_requested():\n    time.sleep(0.1)\nsys.exit(75)\n",
    )
    job(scheduler, tmp_path, f"{LAUNCH} --gpus-per-node 0 --runs {tmp_path} --repeats 2 --name s {program}", 1, 0.6)
    runs = [RunDir(tmp_path / "s" / f"n1-r{repeat}") for repeat in (1, 2)]
    until(lambda: all(run.path.exists() and run.events("ended") for run in runs), 70)
    assert [run.events("ended")[0]["outcome"] for run in runs] == ["stopped", "stopped"]
    assert len(runs[0].events("started")) == 1 and not runs[1].events("started")
    # Elsewhere they go on as jobs of their own.
    words = launch("resume", tmp_path / "s", "--detach", "--take-over", "--time", 1)
    assert words.returncode == 0 and re.search(f"^backend +{scheduler.name} ", words.stdout, re.M), words.stdout
    assert launch("cancel", tmp_path / "s").returncode == 0
