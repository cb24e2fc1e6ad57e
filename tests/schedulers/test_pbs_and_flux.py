"""What PBS and Flux do in their own ways: time limits without a warning, silence, refusals, preemption, launchers."""

import sys
from pathlib import Path

import pytest
from launched import Launched, launch, launches, until
from schedulers.fixtures import StandIn
from schedulers.test_schedulers import SAY, printed, said, script

from launch.backends.flux.queue import status as of_flux
from launch.backends.pbs.queue import status as of_pbs
from launch.backends.scheduler import ENDED, QUEUED, RUNNING, Status
from launch.record.rundir import RunDir

SLEEP = "import os, time\nif os.environ['LAUNCH_ATTEMPT'] == '1': print('here', flush=True); time.sleep(300)\n"


# Tests that wait for a time limit, for progress or out of patience: what they test is the same code for both.
ONE_IS_ENOUGH = pytest.mark.parametrize(
    "scheduler", ["pbs", pytest.param("flux", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture(params=["pbs", "flux"])
def scheduler(request: pytest.FixtureRequest) -> StandIn:
    return request.getfixturevalue(f"clean_{request.param}")


@ONE_IS_ENOUGH
def test_a_scheduler_that_stays_silent_and_takes_the_job_later(scheduler: StandIn, tmp_path: Path):
    site = tmp_path / "impatient.toml"
    site.write_text(f'backend = "{scheduler.name}"\npatience_s = 3\n')
    words = (
        "--site",
        site,
        "--runs",
        tmp_path,
        "--name",
        "late",
        "-p",
        "nowhere" if scheduler.name == "none" else "low",
    )
    if scheduler.name == "flux":
        words = words[:-2]
    program = script(tmp_path, SLEEP)
    with scheduler.silent():
        refused = launch(*words, program)
        assert refused.returncode == 3, refused.stdout + refused.stderr
        assert "has not answered for 3 s" in refused.stderr and "resume and cancel find it" in refused.stderr
        assert refused.stderr.count("\n") == 1
    until(scheduler.alive)
    gone = launch("cancel", tmp_path / "late")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    assert not scheduler.alive()


def test_what_is_refused_is_said_with_advice_and_leaves_nothing(clean_pbs: StandIn, tmp_path: Path):
    site = tmp_path / "site.toml"
    site.write_text('backend = "pbs"\nchunk = { nosuch = "1" }\n')
    program, runs = script(tmp_path, ""), tmp_path / "runs"
    cases = (
        (
            ["-p", "debug", "-t", "11"],
            2,
            "launch: --time 00:11:00 is more than queue debug allows (00:10:00): ask for less",
        ),
        (["-p", "debug", "-N", 3], 2, "launch: --nodes 3 is more than queue debug allows (2): ask for fewer"),
        (
            ["-p", "wide", "-N", 2],
            2,
            "launch: --nodes 2 is fewer than queue wide takes (3): ask for more, or name another",
        ),
        (["-p", "closed"], 2, "launch: queue closed takes no jobs just now"),
        (["--site", site], 3, "launch: PBS refused the job: Unknown resource: nosuch: "),
        (["-N", 9], 3, "launch: PBS could never run the job: Can Never Run: Insufficient amount of resource"),
    )
    *answers, unknown = launches([("--runs", runs, *words, program) for words, *_ in [*cases, (["-p", "workqq"],)]])
    for refused, (_, status, line) in zip(answers, cases):
        assert refused.returncode == status, refused.stdout + refused.stderr
        assert refused.stderr.splitlines()[-1].startswith(line), refused.stderr
    assert not runs.exists() or not any(runs.iterdir())
    assert unknown.returncode == 3 and "did you mean 'workq'" in unknown.stderr and "Unknown queue" in unknown.stderr
    assert not clean_pbs.alive()


def test_what_flux_refuses_is_said(clean_flux: StandIn, tmp_path: Path):
    refused = launch("--runs", tmp_path, "-p", "nosuch", script(tmp_path, ""))
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert refused.stderr == (
        "launch: Flux refused the job: Invalid queue 'nosuch' specified: name another with -p: flux queue list shows them\n"
    )


@pytest.mark.slow  # the launcher waits until files of the nodes would be visible
def test_what_flux_can_never_run_is_said(clean_flux: StandIn, tmp_path: Path):
    never = launch("--runs", tmp_path, "--name", "never", "-N", 9, script(tmp_path, ""))
    assert never.returncode == 1, never.stdout + never.stderr
    assert "unsatisfiable request: need 9" in launch("status", tmp_path / "never").stdout


def test_without_history_a_run_tells_itself_how_it_ended(clean_pbs: StandIn, tmp_path: Path):
    clean_pbs.control("set", "history", "false")
    try:
        (tmp_path / "bad.py").write_text("raise SystemExit(3)")
        good, bad = ("--runs", tmp_path, "--name", "good", script(tmp_path, SAY)), ("--runs", tmp_path, "--name", "bad")
        done, failed = launches([good, (*bad, tmp_path / "bad.py")])
        assert done.returncode == 0, done.stdout + done.stderr
        assert failed.returncode == 1 and "exit status 3" in failed.stdout, failed.stdout + failed.stderr
    finally:
        clean_pbs.control("set", "history", "true")


def test_a_preempted_run_goes_on_in_the_same_job(clean_pbs: StandIn, tmp_path: Path):
    launched = Launched("-N", 2, "--max-attempts", 2, "--runs", tmp_path, "--name", "p", script(tmp_path, SLEEP))
    run = RunDir(tmp_path / "p")
    until(lambda: printed(run, "here") == 2)
    clean_pbs.control("set", "grace_s", "10")  # as in PBS: a busy machine needs more than the 1.5 s of the stand-in
    try:
        clean_pbs.control("preempt", run.events("started")[0]["job"])
        status, output = launched.wait()
    finally:
        clean_pbs.control("set", "grace_s", "1.5")
    assert status == 0, output
    assert [event["outcome"] for event in run.events("ended")] == ["stopped", "done"]
    assert run.events("ended")[0]["reason"] == "preemption"
    assert len({event["job"] for event in run.events("started")}) == 1


def test_ranks_start_by_pbsdsh(clean_pbs: StandIn, tmp_path: Path):
    (tmp_path / "site.toml").write_text('backend = "pbs"\nlauncher = "pbsdsh"\n')
    text = f"{SAY}\nraise SystemExit(int(os.environ['RANK']) * 3)"
    words = ("--site", tmp_path / "site.toml", "-N", 2, "--runs", tmp_path, "--name", "d")
    failed = launch(*words, script(tmp_path, text))
    assert failed.returncode == 1, failed.stdout + failed.stderr
    run = RunDir(tmp_path / "d")
    assert said(run) == {rank: [str(rank), "2", "0", "1", str(rank), "2"] for rank in range(2)}
    assert run.events("ended")[0]["status"] == 3


def test_ranks_of_mpi_start_by_the_sites_mpiexec(clean_pbs: StandIn, tmp_path: Path):
    """By a real Open MPI, which sees one host here."""
    mpirun = Path(sys.executable).with_name("mpirun")
    if not mpirun.exists():
        pytest.skip("no mpirun beside Python")
    # Its --map-by would be refused on one host with the slots of one.
    (tmp_path / "mpiexec").write_text(
        f'#!/bin/bash\nshift 4\nunset PBS_NODEFILE PBS_JOBID\nexec {mpirun} --allow-run-as-root --oversubscribe --bind-to none -n 2 "$@"\n'
    )
    (tmp_path / "mpiexec").chmod(0o700)
    site = 'backend = "pbs"\nlauncher = "openmpi"\nrendezvous = "mpi"\nranks_per_node = 1\n'
    (tmp_path / "site.toml").write_text(f"{site}setup = ['export PATH={tmp_path}:$PATH']\n")
    text = "from mpi4py import MPI; c = MPI.COMM_WORLD; print('said', c.rank, c.size, c.allreduce(c.rank), flush=True)"
    words = ("--site", tmp_path / "site.toml", "-N", 2, "--runs", tmp_path, "--name", "mpi")
    done = launch(*words, script(tmp_path, text))
    log = RunDir(tmp_path / "mpi").job_log
    assert done.returncode == 0, done.stdout + done.stderr + (log.read_text() if log.exists() else "")
    assert said(RunDir(tmp_path / "mpi")) == {0: ["0", "2", "1"], 1: ["1", "2", "1"]}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"job_state": "Q", "comment": "Not Running: Queue not started."}, Status(QUEUED, "QUEUED", "Queue not started.")),
        ({"job_state": "H", "Hold_Types": "s", "depend": "afterok:1"}, Status(QUEUED, "HELD", "waits for the job that it depends on")),
        ({"job_state": "R", "exec_host": "n1/0*2+n2/0*2"}, Status(RUNNING, "RUNNING", "", "n1,n2")),
        ({"job_state": "S", "Exit_status": -20}, Status(RUNNING, "SUSPENDED")),
        ({"job_state": "F", "substate": 92, "Exit_status": 0}, Status(ENDED, "FINISHED")),
        ({"job_state": "F", "substate": 92, "Hold_Types": "s", "depend": "afterok:1"}, Status(ENDED, "DEPENDENCY FAILED", "the job that it depends on has failed", "", "cancelled")),
        ({"job_state": "F", "substate": 91, "Exit_status": 271}, Status(ENDED, "DELETED", "", "", "cancelled")),
        ({"job_state": "X", "substate": 93, "Exit_status": -29}, Status(ENDED, "TIME LIMIT", "", "", "timeout")),
        ({"job_state": "F", "substate": 93, "Exit_status": -20}, Status(ENDED, "LOST ITS FIRST NODE", "", "", "stopped")),
        ({"job_state": "F", "substate": 93, "Exit_status": 0}, Status(ENDED, "EXIT STATUS 0")),  # another host died
    ],
)  # fmt: skip
def test_what_pbs_says_of_a_job(said: dict, expected: Status):
    assert of_pbs(said) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"state": "SCHED", "urgency": 0}, Status(QUEUED, "QUEUED", "held")),
        ({"state": "DEPEND", "dependencies": ["after-success=ƒ2sG"]}, Status(QUEUED, "DEPENDENT", "after-success=ƒ2sG")),
        ({"state": "RUN", "nodelist": "n[1-2]"}, Status(RUNNING, "RUNNING", "", "n[1-2]")),
        ({"state": "INACTIVE", "result": "COMPLETED", "returncode": 0}, Status(ENDED, "COMPLETED")),
        ({"state": "INACTIVE", "result": "FAILED", "returncode": 7, "nodelist": "n1"}, Status(ENDED, "EXIT STATUS 7", "", "n1")),
        ({"state": "INACTIVE", "result": "CANCELED", "exception": {"occurred": True, "type": "cancel", "note": ""}}, Status(ENDED, "CANCELED", "", "", "cancelled")),
        ({"state": "INACTIVE", "result": "TIMEOUT", "exception": {"occurred": True, "type": "timeout", "note": "resource allocation expired"}}, Status(ENDED, "TIMEOUT", "resource allocation expired", "", "timeout")),
    ],
)  # fmt: skip
def test_what_flux_says_of_a_job(said: dict, expected: Status):
    assert of_flux(said) == expected
