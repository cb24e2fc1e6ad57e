"""python -m launch on a real Slurm."""

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launched import Launched, facts, launch, until
from slurm.fixtures import Cluster, queue

from launch.record.files import read_lines
from launch.record.rundir import RunDir
from workloads.training import checkpoints

SAY = (
    "import os, socket; print(*(os.environ.get(k, '-') for k in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'NODE_RANK', "
    "'CUDA_VISIBLE_DEVICES', 'LAUNCH_GPU')), socket.gethostname(), flush=True)"
)


def script(folder: Path, text: str) -> Path:
    path = folder / "program.py"
    path.write_text(text)
    return path


def said(run: RunDir) -> dict[int, list[str]]:
    """The words of the line that each rank has printed."""
    lines = [line for path in run.logs.glob("node*.log") for line in path.read_text().splitlines()]
    return {int(line.partition(":")[0]): line.partition(":")[2].split() for line in lines}


@pytest.mark.parametrize("nodes", [2, pytest.param(16, marks=pytest.mark.slow)])  # sixteen trainings on two cores
def test_the_main_job_on_many_nodes(clean_slurm: Cluster, tmp_path: Path, nodes: int):
    words = [
        "--nodes",
        nodes,
        "--runs",
        tmp_path,
        "--name",
        "main",
        "--time",
        60,
        "workloads.cfd_resnet",
        "--epochs=2",
        "--batch=4",
        "--flows=64",  # what the others cost to make tells nothing of Slurm
    ]
    dry = launch("--dry-run", *words)
    assert dry.returncode == 0, dry.stderr
    assert facts(dry.stdout)["global batch"].startswith(f"{4 * nodes} examples = {nodes} x 4")
    assert not any(tmp_path.iterdir())

    done = launch(*words, wait=900)
    run = RunDir(tmp_path / "main")
    assert done.returncode == 0, done.stdout + done.stderr
    # What the dry run has shown is what was submitted.
    assert dry.stdout.endswith((run.path / "jobs/1/job.sh").read_text() + "\n")
    result = run.result()
    assert (result["ranks"], result["nodes"], result["ranks_agree"]) == (nodes, nodes, True)
    assert {path.name for path in run.steps.iterdir()} == {f"node{node}.jsonl" for node in range(nodes)}
    for node in range(nodes):
        assert [line["step"] for line in read_lines(run.steps / f"node{node}.jsonl")] == list(
            range(1, result["steps"] + 1)
        )
    assert len(list(run.figures.glob("*.png"))) == 1
    assert f"examples/s on {nodes} ranks" in done.stdout


def test_every_rank_knows_itself_and_has_a_gpu_of_its_own(clean_slurm: Cluster, tmp_path: Path):
    program = script(tmp_path, SAY)
    done = launch("-N", 4, "--gpus-per-node", 2, "--runs", tmp_path, "--name", "env", program)
    assert done.returncode == 0, done.stdout + done.stderr
    assert facts(done.stdout)["shape"] == "4 nodes x 2 ranks = 8 ranks, 2 GPUs per node"
    ranks = said(RunDir(tmp_path / "env"))
    assert sorted(ranks) == list(range(8))
    for rank, (number, size, local_rank, node, device, index, host) in ranks.items():
        assert (number, size, local_rank, node) == (str(rank), "8", str(rank % 2), str(rank // 2))
        assert (device, index) == ("0,1", str(rank % 2))
        if clean_slurm.own_hosts:
            assert host == ranks[rank - rank % 2][-1] != ranks[(rank + 2) % 8][-1]


@pytest.mark.parametrize(
    ("site_says", "options", "expected"),
    [
        ('gpu_binding = "framework"\ngpu_request = "gres"\ngpus_per_node = 2', "", [("0", "0,1", "0"), ("1", "0,1", "1")]),
        ('gpu_binding = "env"\ngpu_request = "gpus-per-task"\ngpus_per_node = 2', "", [("0", "0", "0"), ("0", "1", "0")]),
        ("gpus_per_node = 2", "", [("0", "0,1", "0"), ("1", "0,1", "1")]),
        ('gpu_binding = "slurm"\ngpus_per_node = 4', "--ranks-per-node 2", [("0", "0,1", "0"), ("0", "2,3", "0")]),
        ("gpus_per_node = 4", "--ranks-per-node 1", [("0", "0,1,2,3", "0")]),
        ("", "--sbatch-arg=--gpus=2 --ranks-per-node 2", [("0", "0,1", "0"), ("1", "0,1", "1")]),
    ],
)  # fmt: skip
def test_which_gpus_a_rank_sees_and_which_of_them_is_its_own(
    clean_slurm: Cluster, tmp_path: Path, site_says: str, options: str, expected: list[tuple[str, str, str]]
):
    """LOCAL_RANK, CUDA_VISIBLE_DEVICES and LAUNCH_GPU: the ways of sites, and of users who ask for GPUs themselves."""
    site = tmp_path / "here.toml"
    site.write_text(site_says)
    words = ["--site", site, "--runs", tmp_path, "--name", "gpus", "--sample-hz", 0, *options.split()]
    done = launch(*words, script(tmp_path, SAY))
    assert done.returncode == 0, done.stdout + done.stderr
    found = [(words[2], *words[4:6]) for _, words in sorted(said(RunDir(tmp_path / "gpus")).items())]
    assert found == expected


def test_two_ranks_on_one_gpu_end_the_run(clean_slurm: Cluster, tmp_path: Path):
    # A site file that is wrong about its GPUs: it says four, and asks for one.
    site = tmp_path / "wrong.toml"
    site.write_text('gpu_request = "none"\ngpus_per_node = 4\ndirectives = { gres = "gpu:1" }\n')
    words = ["--site", site, "--ranks-per-node", 2, "--runs", tmp_path]
    failed = launch(*words, "--name", "one", script(tmp_path, SAY))
    assert failed.returncode == 1
    assert re.search(r"ranks 0 and 1 on \S+ hold the same GPU, device 0: .*--share-gpus", failed.stdout)
    shared = launch(*words, "--name", "two", "--share-gpus", script(tmp_path, SAY))
    assert shared.returncode == 0, shared.stdout + shared.stderr


@pytest.mark.parametrize(
    ("end", "error", "status"),
    [
        ("raise KeyError('five')", "KeyError: 'five'", 1),
        ("from launch.errors import Refusal; raise Refusal('no mesh: give one')", "no mesh: give one", 2),
        ("os.kill(os.getpid(), 9)", "ended by SIGKILL", 1),
        ("os._exit(7)", "exit status 7", 1),
    ],
)
def test_the_first_rank_that_fails_is_named_and_ends_the_job(
    clean_slurm: Cluster, tmp_path: Path, end: str, error: str, status: int
):
    program = script(
        tmp_path, f"import os, time\nif os.environ['RANK'] == '5':\n    time.sleep(1)\n    {end}\ntime.sleep(300)\n"
    )
    began = time.monotonic()
    failed = launch("-N", 4, "--ranks-per-node", 2, "--runs", tmp_path, "--name", "bad", program)
    assert failed.returncode == status, failed.stdout + failed.stderr
    assert time.monotonic() - began < 250  # the other ranks would wait for 300
    assert re.search(rf"^rank 5 on .*node3.* failed first: {error}", failed.stdout, re.MULTILINE), failed.stdout
    until(lambda: not queue())


def test_ctrl_c_takes_the_job_out_of_the_queue(clean_slurm: Cluster, tmp_path: Path):
    program = script(tmp_path, "import time; print('here', flush=True); time.sleep(300)")
    launched = Launched("-N", 2, "--runs", tmp_path, "--name", "long", program)
    until(lambda: sum("here" in log.read_text() for log in tmp_path.glob("long/logs/node*.log")) == 2)
    launched.process.send_signal(signal.SIGINT)
    status, output = launched.wait()
    assert status == 130, output
    assert not queue()
    assert "python -m launch resume" in output


@pytest.mark.slow
def test_slurms_warning_saves_and_resume_goes_on(clean_slurm: Cluster, tmp_path: Path):
    run = RunDir(tmp_path / "warned")
    options = ("tiny", "--epochs=2", "--batch=16", "--threads=1", "--pause=0.02")
    launched = Launched("-N", 2, "--runs", tmp_path, "--name", "warned", *options)
    until(lambda: len(list(read_lines(run.steps / "node0.jsonl"))) > 3, 240)
    job = run.events("submitted")[0]["job"]
    # What --signal=USR2@120 does two minutes before the limit.
    subprocess.run(["scancel", "--signal=USR2", job], check=True)
    status, output = launched.wait()
    assert status == 4, output
    assert run.events("ended")[0]["outcome"] == "stopped"
    saved = checkpoints.latest(run.checkpoints).step
    resumed = launch("resume", run.path)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert f"going on after step {saved}" in run.node_log(0).read_text()
    assert run.result()["attempts"] == 2
    assert {line["attempt"] for line in read_lines(run.steps / "node0.jsonl")} == {1, 2}


def test_ranks_meet_over_mpi(clean_slurm: Cluster, tmp_path: Path):
    program = script(tmp_path, "from mpi4py import MPI; c = MPI.COMM_WORLD; print(c.rank, c.size, c.allreduce(c.rank))")
    done = launch("-N", 3, "--rendezvous", "mpi", "--runs", tmp_path, "--name", "mpi", program)
    assert done.returncode == 0, done.stdout + done.stderr
    assert said(RunDir(tmp_path / "mpi")) == {rank: [str(rank), "3", "3"] for rank in range(3)}


@pytest.mark.slow  # ranks meet over MPI above, and train over it without Slurm in tests/launch/test_training.py
def test_horovod_trains_over_mpi(clean_slurm: Cluster, tmp_path: Path):
    done = launch(
        "-N", 2, "--rendezvous", "mpi", "--runs", tmp_path, "--name", "mpi", "tiny", "--epochs=1", "--threads=1"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = RunDir(tmp_path / "mpi").result()
    assert (result["ranks"], result["ranks_agree"]) == (2, True)


def test_what_slurm_refuses_is_said_and_leaves_nothing(clean_slurm: Cluster, tmp_path: Path):
    program = script(tmp_path, "")
    runs = tmp_path / "runs"
    for words, status, line in (
        (["-N", 17], 2, "launch: --nodes 17 is more than partition debug has for a job (16): ask for fewer"),
        (
            ["-N", 5, "-p", "short"],
            2,
            "launch: --nodes 5 is more than partition short has for a job (4): ask for fewer",
        ),
        (
            ["-p", "short", "-t", "11"],
            2,
            "launch: --time 00:11:00 is more than partition short allows (10:00): ask for less",
        ),
        (
            ["-p", "debgu"],
            3,
            "launch: sinfo lists no partition 'debgu' (did you mean 'debug'?)\nlaunch: Slurm refused the job: ",
        ),
        (
            ["-C", "nope"],
            3,
            "launch: Slurm refused the job: Batch job submission failed: Invalid feature specification",
        ),
        (["--ranks-per-node", 9], 3, "launch: Slurm refused the job: "),
        (["--sbatch-arg=--nonsense"], 3, "launch: Slurm refused the job: sbatch: unrecognized option '--nonsense'"),
    ):
        refused = launch(*words, "--runs", runs, program)
        assert refused.returncode == status, refused.stdout + refused.stderr
        assert refused.stderr.startswith(line) and refused.stderr.count("\n") == line.count("\n") + 1, refused.stderr
        assert not runs.exists() or not any(runs.iterdir())
    assert not queue()


@pytest.mark.parametrize("says", ["echo Welcome, job 17 has ended; REAL; echo Bye", "REAL >&2; echo Accepted."])
def test_a_job_is_found_whatever_the_sites_sbatch_prints(
    says: str, clean_slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/bash\n" + says.replace("REAL", f'{shutil.which("sbatch")} "$@"') + "\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
    done = launch("--runs", tmp_path, "--name=a", "--sample-hz=0", script(tmp_path, ""), wait=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_silent_controller_is_asked_with_patience(clean_slurm: Cluster, tmp_path: Path):
    program = script(tmp_path, SAY)
    os.kill(clean_slurm.controller, signal.SIGSTOP)
    try:
        launched = Launched("-N", 2, "--runs", tmp_path, "--name", "patient", program)
        time.sleep(25)
        assert launched.process.poll() is None
    finally:
        os.kill(clean_slurm.controller, signal.SIGCONT)
    status, output = launched.wait()
    assert status == 0, output
    jobs = subprocess.run(["squeue", "-h", "-t", "all", "-o", "%j"], capture_output=True, text=True).stdout.split()
    assert jobs.count("patient") == 1


@pytest.mark.slow
def test_patience_ends(clean_slurm: Cluster, tmp_path: Path):
    site = tmp_path / "impatient.toml"
    site.write_text("patience_s = 12\n")
    os.kill(clean_slurm.controller, signal.SIGKILL)
    refused = launch("--site", site, "--runs", tmp_path, "--name", "late", script(tmp_path, ""))
    assert refused.returncode == 3
    assert "trying for another" in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("launch: Slurm has not answered for 12 s (")
    assert "resume and cancel find it" in refused.stderr


def test_a_launcher_within_a_job_starts_a_job_of_its_own(clean_slurm: Cluster, tmp_path: Path):
    program = script(tmp_path, SAY)
    inner = [sys.executable, "-m", "launch", "--new-job", "-N", 2, "--runs", tmp_path, "--name", "inner", program]
    outer = subprocess.run(
        ["srun", "-N", "1", "-n", "1", "-c", "2", "--mem=500", *map(str, inner)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert outer.returncode == 0, outer.stdout + outer.stderr
    assert sorted(said(RunDir(tmp_path / "inner"))) == [0, 1]


# What shells, Slurm's own patterns (%j), TOML and JSON read otherwise; an argument cannot hold a zero byte.
_LETTERS = " \t\n'\"\\`$(){}[]<>|&;*?!~#%=,:@+-/j\x01\x7fé流🌊"
ODD = "a b'c\"d$(touch x)\né;#%j"


def test_words_and_paths_arrive_as_they_were_given(clean_slurm: Cluster, tmp_path: Path):
    drawn = random.Random(3)
    words = [
        ODD,
        "",
        "-n",
        "--",
        "--nodes=9",
        *("".join(drawn.choices(_LETTERS, k=drawn.randint(1, 12))) for _ in range(300)),
    ]
    place = tmp_path / re.sub(r"[\n%]", "", f"{ODD}\udce9")  # what Slurm itself replaces in a path is refused
    place.mkdir()
    site = tmp_path / "site.toml"
    site.write_text(f'name = "odd"\nbackend = "slurm"\n[env]\nNOTE = {json.dumps(ODD)}\n')  # of JSON, TOML knows this
    told = "import json, os, sys; json.dump([sys.argv[1:], os.environ['NOTE'], os.environ['LAUNCH_RUN']], open(os.environ['LAUNCH_RUN'] + '/words.json', 'w'))"
    run = RunDir(place / "run")
    done = launch("--site", site, "--runs", place, "--name", "run", "-J", ODD, script(place, told), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((run.path / "words.json").read_text()) == [words, ODD, str(run.path)]
    assert run.result()["status"] == "done"
    assert not list(tmp_path.rglob("x"))


def test_the_printed_script_can_be_submitted_by_hand(clean_slurm: Cluster, tmp_path: Path):
    done = launch("-N", 2, "--runs", tmp_path, "--name", "hand", "--detach", script(tmp_path, SAY))
    assert done.returncode == 0, done.stderr
    run = RunDir(tmp_path / "hand")
    until(lambda: run.result() is not None)
    command = re.search(r"with: *(sbatch .*)|it:  (sbatch .*)", (run.path / "jobs/1/job.sh").read_text())
    assert command, (run.path / "jobs/1/job.sh").read_text()
    run.result_json.unlink()  # as one that is done is left alone
    again = subprocess.run(shlex.split(command[1] or command[2]), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    until(lambda: len(run.events("ended")) == 2)


@pytest.mark.slow
def test_the_real_time_limit(clean_slurm: Cluster, tmp_path: Path):
    """Slurm looks at limits every half minute; its warning comes before the limit, and the run goes on later."""
    run = RunDir(tmp_path / "late")
    options = ("tiny", "--epochs=20", "--batch=16", "--threads=1", "--pause=0.2")
    late = launch("-N", 2, "--time", 2, "--runs", tmp_path, "--name", "late", *options)
    assert late.returncode == 4, late.stdout + late.stderr
    assert run.events("ended")[0]["outcome"] == "stopped"
    saved = checkpoints.latest(run.checkpoints).step
    assert saved > 1
    resumed = launch("resume", run.path)
    assert resumed.returncode == 4, resumed.stdout + resumed.stderr
    assert checkpoints.latest(run.checkpoints).step > saved


@pytest.mark.slow
def test_a_run_that_is_stopped_is_put_back_and_goes_on(clean_slurm: Cluster, tmp_path: Path):
    """By Slurm's warning before the limit, and by a preemption; until it is done."""
    run = RunDir(tmp_path / "again")
    options = ("tiny", "--epochs=3", "--batch=16", "--threads=1", "--pause=0.02")
    launched = Launched(
        "-N", 2, "-p", "low", "--max-attempts", 3, "--runs", tmp_path, "--name", "again", *options
    )  # fmt: skip
    attempts = lambda: {line["attempt"] for line in read_lines(run.steps / "node0.jsonl")}  # noqa: E731
    until(lambda: 1 in attempts(), 240)
    job = run.events("submitted")[0]["job"]
    subprocess.run(["scancel", "--signal=USR2", job], check=True)
    until(lambda: 2 in attempts(), 240)
    subprocess.run(
        ["sbatch", "-p", "debug", "-N", "16", "--exclusive", "-o", "/dev/null", "--wrap=sleep 1"], check=True
    )
    status, output = launched.wait(300)
    assert status == 0, output
    assert attempts() == {1, 2, 3} and run.result()["attempts"] == 3
    ended = run.events("ended")
    assert [event["outcome"] for event in ended] == ["stopped", "stopped", "done"]
    assert 0 < ended[0]["step"] < ended[1]["step"] < ended[2]["step"]
    # Nothing is lost and nothing made twice: both were saved before they left.
    steps = [line["step"] for line in read_lines(run.steps / "node0.jsonl")]
    assert steps == list(range(1, run.result()["steps"] + 1))


@pytest.mark.slow
def test_attempts_end(clean_slurm: Cluster, tmp_path: Path):
    program = script(tmp_path, "import time; time.sleep(300)")
    launched = Launched("-N", 2, "--max-attempts", 2, "--runs", tmp_path, "--name", "twice", program)
    run = RunDir(tmp_path / "twice")
    for attempt in (1, 2):
        until(lambda attempt=attempt: len(run.events("started")) == attempt)
        time.sleep(1)
        subprocess.run(["scontrol", "requeue", run.events("submitted")[0]["job"]], check=True)
    status, output = launched.wait()
    assert status == 1, output
    assert "2 attempts were made" in run.job_log.read_text()
    assert len(run.events("started")) == 2


def test_one_job_is_at_work_on_a_run_and_a_preemption_starts_it_again(clean_slurm: Cluster, tmp_path: Path):
    """Of a program that knows nothing of signals."""
    program = script(tmp_path, "import os, time\nif os.environ['LAUNCH_ATTEMPT'] == '1': time.sleep(300)")
    launched = Launched("-N", 2, "-p", "low", "--max-attempts", 2, "--runs", tmp_path, "--name", "run", program)
    run = RunDir(tmp_path / "run")
    until(lambda: (run.logs / "node1.log").exists())
    second = subprocess.run(
        ["sbatch", "--wait", f"--chdir={run.path}", (run.path / "jobs/1/job.sh")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1 and "is at work on it" in run.job_log.read_text()
    assert len(run.events("started")) == 1
    subprocess.run(
        ["sbatch", "-p", "debug", "-N", "16", "--exclusive", "-o", "/dev/null", "--wrap=sleep 1"], check=True
    )
    status, output = launched.wait()
    assert status == 0, output
    assert [event["outcome"] for event in run.events("ended")] == ["stopped", "done"]
    assert run.events("ended")[0]["reason"] == "preemption"
