"""Ranks as processes of this machine: plain programs, no framework; their environment, logs, ends and failures."""

import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections import defaultdict
from pathlib import Path

import psutil
import pytest
from launched import ROOT, Launched, environment, gone, launch, until
from nvml import cards
from plans import LAPTOP, plan, run_of

from launch.backends.local import mpirun
from launch.errors import Refusal
from launch.plan.request import Request
from launch.plan.shape import Machine
from launch.plan.target.workload import Target
from launch.record.files import read_json, read_lines
from launch.record.rundir import RunDir

# Programs of a rank. `me` is its rank; a program that is asked to wait says "here" first, for the test to know.
PROGRAMS = {
    "environment": "import json; os.environ.get('TF_CONFIG'); print(json.dumps({**os.environ, 'argv': sys.argv[1:], 'cores': sorted(os.sched_getaffinity(0))}))",
    "module": "print(__name__, sys.argv[1:], os.path.basename(sys.argv[0]))",
    "raises": """
if me == 1:
    time.sleep(0.3)
    raise ValueError("bad mesh")
wait()""",
    "threads": """
import threading
if me == 1:
    threading.Thread(target=wait).start()
    raise ValueError("bad mesh")
wait()""",
    "words": "if me == 1: sys.exit('no input file')\nwait()",
    "exits": "if me == 1: os._exit(3)\nwait()",
    "temporarily": "if me == 1: os._exit(75)\nwait()",
    "stops": "if me == 1: sys.exit(75)\nwait()",
    "killed": "if me == 1: os.kill(os.getpid(), signal.SIGKILL)\nwait()",
    "segfault": "import ctypes\nif me == 1: ctypes.string_at(0)\nwait()",
    "stubborn": """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if me == 1:
    time.sleep(0.5)
    raise ValueError("bad mesh")
wait()""",
    "waits": "wait()",
    "deaf": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwait()",
    "family": "import subprocess\nsubprocess.Popen(['sleep', '300'])\nwait()",
    "leaves": "import subprocess\nsubprocess.Popen(['sleep', '300'])",
    "prints": r"""
print("plain"); print("with a : colon"); sys.stderr.write("error\n")
sys.stdout.buffer.write(b"bytes \xff\xfe\x00 end\n")
print("long " + "x" * 1_000_000)
sys.stdout.write("no newline")""",
    "bar": """
for state in range(8):
    print(f"\\rstate {state}", end="", flush=True)
    time.sleep(0.3)
print("\\nloading ...", end="", flush=True)
wait()""",
    "endless": "while True: os.write(1, b'y\\n' * 4000)",
    "late": "if os.environ['LAUNCH_ATTEMPT'] == '1': wait()\nprint('attempt', os.environ['LAUNCH_ATTEMPT'])",
    "saves": """
signal.signal(signal.SIGUSR2, lambda *_: sys.exit(75))
wait()""",
    "unaware": "os.kill(os.getpid(), signal.SIGUSR2)\nprint('goes on')",
    "twice": "if os.environ['LAUNCH_ATTEMPT'] == '1': sys.exit(5)\nprint('attempt', os.environ['LAUNCH_ATTEMPT'])",
}  # fmt: skip

HEAD = """
import os, signal, sys, time
me = int(os.environ["RANK"])
def wait():
    os.write(1, f"here {os.getpid()}\\n".encode())  # at once, as a thread's line and a traceback may meet
    time.sleep(120)
"""


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory):
    """The path of a program, by its name."""
    folder = tmp_path_factory.mktemp("programs")
    for name, text in PROGRAMS.items():
        (folder / f"{name}.py").write_text(f"{HEAD}\n{text}\n")
    return lambda name: folder / f"{name}.py"


def options(tmp_path: Path, *words: object) -> list[object]:
    return ["--backend", "local", "--runs", tmp_path, "--name", "run", *words]


def said(run: RunDir) -> dict[int, list[str]]:
    """The lines of each rank, over all nodes."""
    lines = defaultdict(list)
    for log in sorted(run.logs.glob("node*.log")):
        for line in log.read_bytes().split(b"\n")[:-1]:
            label, _, text = line.partition(b": ")
            lines[int(label)].append(text.decode(errors="surrogateescape"))
    return lines


def pids(run: RunDir) -> list[int]:
    """Of the ranks that have begun to wait, in their order."""
    lines = [line for _, lines in sorted(said(run).items()) for line in lines]
    return [int(line.split()[1]) for line in lines if line.startswith("here ")]


def all_here(run: RunDir, ranks: int) -> list[psutil.Process]:
    """The processes of the ranks, once all have begun to wait."""
    until(lambda: len(pids(run)) == ranks, seconds=30)
    return list(map(psutil.Process, pids(run)))


def failed(done: subprocess.CompletedProcess, first: str) -> None:
    """A failure is told in the last lines, and the first one only."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"\n{first}" in done.stdout and done.stdout.count("failed first") == 1
    assert "Traceback" not in done.stderr.replace("1: Traceback", "")


def test_what_ranks_find(tmp_path: Path, program):
    words = options(tmp_path, "--nodes", 2, "--ranks-per-node", 2, "--seed", 7, program("environment"), "-a", "b c")
    done = launch(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir.open(tmp_path / "run")
    found = {rank: json.loads(lines[0]) for rank, lines in said(run).items()}
    assert sorted(found) == [0, 1, 2, 3]
    for rank, env in found.items():
        node, local = divmod(rank, 2)
        assert {name: env[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK")} == {
            "RANK": str(rank), "WORLD_SIZE": "4", "LOCAL_RANK": str(local), "LOCAL_WORLD_SIZE": "2", "NODE_RANK": str(node),
        }  # fmt: skip
        assert {name: value for name, value in env.items() if re.match("LAUNCH_(?!STARTED|SUBMITTED)", name)} == {
            "LAUNCH_RUN": str(run.path), "LAUNCH_ATTEMPT": "1", "LAUNCH_RANK": str(rank), "LAUNCH_SIZE": "4",
            "LAUNCH_LOCAL_RANK": str(local), "LAUNCH_LOCAL_SIZE": "2", "LAUNCH_NODE": str(node), "LAUNCH_NODES": "2",
            "LAUNCH_SEED": "7", "LAUNCH_STEPS": str(run.rank_steps(rank)),
        }  # fmt: skip
        assert env["argv"] == ["-a", "b c"]
    for name in ("MASTER_ADDR", "MASTER_PORT", "HOROVOD_GLOO_RENDEZVOUS_PORT", "JAX_COORDINATOR_ADDRESS"):
        assert len({env.get(name) for env in found.values()}) == 1
    workers = {json.dumps(json.loads(env["TF_CONFIG"])["cluster"]["worker"]) for env in found.values()}
    ports = [place.removeprefix("127.0.0.1:") for place in json.loads(workers.pop())]
    ports += [found[0]["MASTER_PORT"], found[0]["JAX_COORDINATOR_ADDRESS"].removeprefix("127.0.0.1:")]
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not workers and len(set(ports)) == 6 and not any(low <= int(port) <= high for port in ports)
    for rank, env in found.items():
        assert json.loads(env["TF_CONFIG"])["task"] == {"type": "worker", "index": rank}
        assert (env["JAX_NUM_PROCESSES"], env["JAX_PROCESS_ID"]) == ("4", str(rank))
        assert {name: env[name] for name in env if name.startswith("KERAS_D")} == {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": env["JAX_COORDINATOR_ADDRESS"],
            "KERAS_DISTRIBUTION_NUM_PROCESSES": "4", "KERAS_DISTRIBUTION_PROCESS_ID": str(rank),
        }  # fmt: skip
    assert found[0]["MASTER_ADDR"] == "127.0.0.1" and int(found[0]["MASTER_PORT"]) > 1023
    cores = [tuple(env["cores"]) for env in found.values()]
    assert len(set(cores)) == (4 if len(os.sched_getaffinity(0)) >= 4 else 1)
    assert (run.node_log(0).read_text().count("\n"), run.node_log(1).read_text().count("\n")) == (2, 2)
    result = read_json(run.result_json)
    assert result.pop("phases_s").keys() == {"run"}
    assert result == {"status": "done", "ranks": 4, "nodes": 2, "attempts": 1}
    assert [event["event"] for event in run.events()] == ["submitted", "started", "ended"]
    assert read_json(run.env_json)["python"] == ".".join(map(str, sys.version_info[:3]))
    assert f"done: {run.path}" in done.stdout


def test_no_rank_waits_for_tf_config_before_it_may_be_read(tmp_path: Path):
    """Rank 1 imports what may read it while rank 0, which would gather the addresses, does not; and the ranks meet nobody."""
    program = tmp_path / "late.py"
    program.write_text(
        "import os\n"
        "def config(): return [os.environ[name] for name in os.environ if name.startswith('TF_CON')]\n"
        "before = config()\n"
        "if os.environ['RANK'] == '1': import subprocess\n"
        "print(len(before), len(config()), *config())\n"
    )
    done = launch(*options(tmp_path, "--nodes", 2, program))
    assert done.returncode == 0, done.stdout + done.stderr
    zero, one = (lines[0].split(maxsplit=2) for _, lines in sorted(said(RunDir.open(tmp_path / "run")).items()))
    assert zero == ["0", "0"] and one[:2] == ["0", "1"]
    config = json.loads(one[2])
    assert config["task"] == {"type": "worker", "index": 1} and len(set(config["cluster"]["worker"])) == 2


def test_who_the_launcher_is_elsewhere_is_not_handed_on(tmp_path: Path, program):
    outer = {
        "SLURM_PROCID": "5",
        "SLURM_STEP_ID": "0",
        "OMPI_COMM_WORLD_RANK": "3",
        "PMI_RANK": "2",
        "RANK": "9",
        "WORLD_SIZE": "9",
    }
    done = subprocess.run(
        [sys.executable, "-m", "launch", *map(str, options(tmp_path, program("environment")))],
        cwd=ROOT, env=environment(**outer), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    env = json.loads(said(RunDir(tmp_path / "run"))[0][0])
    assert (env["RANK"], env["WORLD_SIZE"]) == ("0", "1")
    assert not {"SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK"} & env.keys()


def test_a_module(tmp_path: Path, program):
    env = environment(PYTHONPATH=str(program("module").parent))
    words = ["--backend", "local", "--runs", str(tmp_path), "--name", "run", "module", "a", "--b"]
    done = subprocess.run(
        [sys.executable, "-m", "launch", *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert said(RunDir(tmp_path / "run"))[0] == ["__main__ ['a', '--b'] module.py"]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("raises", "rank 1 on node 1 ({host}) failed first: ValueError: bad mesh"),
        ("threads", "rank 1 on node 1 ({host}) failed first: ValueError: bad mesh"),
        ("words", "rank 1 on node 1 ({host}) failed first: exit status 1: no input file"),
        ("exits", "rank 1 on node 1 ({host}) failed first: exit status 3"),
        # Of a program that knows nothing of ours, 75 says nothing else.
        ("temporarily", "rank 1 on node 1 ({host}) failed first: exit status 75"),
        ("stops", "rank 1 on node 1 ({host}) failed first: exit status 75"),
        ("killed", "rank 1 on node 1 ({host}) failed first: ended by SIGKILL"),
        ("segfault", "rank 1 on node 1 ({host}) failed first: ended by SIGSEGV"),
        ("stubborn", "rank 1 on node 1 ({host}) failed first: ValueError: bad mesh"),
    ],
)
def test_the_first_failure_ends_the_run_and_is_named(tmp_path: Path, program, name: str, first: str):
    done = launch(
        *options(tmp_path, "--nodes", 2, program(name)), wait=110
    )  # the other rank would wait for two minutes
    failed(done, first.format(host=os.uname().nodename))
    run = RunDir.open(tmp_path / "run")
    assert not any(map(psutil.pid_exists, pids(run)))
    assert run.events("ended")[-1]["outcome"] == "failed" and run.result() is None
    assert len(list(read_lines(run.failures / "node1.jsonl"))) == 1
    assert not (run.failures / "node0.jsonl").exists()
    if name == "raises":
        assert re.search(r'failed first.*\n    Traceback .*\n.*raises.py", line \d+.*\n', done.stdout)
        assert "launch/node/worker.py" not in done.stdout
    if name == "killed":
        assert "what to do: killed from outside" in done.stdout


def test_what_a_rank_refuses_is_bad_input(tmp_path: Path):
    (tmp_path / "program.py").write_text("from launch.errors import Refusal\nraise Refusal('no mesh: give one')\n")
    done = launch(*options(tmp_path, "--nodes", 2, tmp_path / "program.py"))
    assert done.returncode == 2 and "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert "failed first: no mesh: give one\n" in done.stdout
    assert launch("resume", tmp_path / "run").returncode == 2


def test_of_several_the_first_is_named_not_the_lowest(tmp_path: Path, program):
    launched = Launched(*options(tmp_path, "--nodes", 3, program("waits")))
    ranks = all_here(RunDir(tmp_path / "run"), 3)
    supervisor = ranks[0].parent()
    supervisor.send_signal(signal.SIGSTOP)  # on a busy machine, it finds all of them ended at once
    for rank in (2, 0, 1):
        ranks[rank].kill()
        assert gone([ranks[rank]])
    supervisor.send_signal(signal.SIGCONT)
    status, output = launched.wait()
    assert status == 1 and "rank 2 on node 2" in output and output.count("failed first") == 1


def test_an_interrupt_ends_all_and_leaves_the_run_to_be_resumed(tmp_path: Path, program):
    launched = Launched(*options(tmp_path, "--nodes", 2, program("family")))
    run = RunDir(tmp_path / "run")
    ranks = all_here(run, 2)
    family = [child for rank in ranks for child in rank.children()]
    assert [child.name() for child in family] == ["sleep", "sleep"]
    launched.process.send_signal(signal.SIGINT)
    status, output = launched.wait()
    assert status == 130 and "Traceback" not in output
    assert f"python -m launch resume {run.path}" in output
    assert gone([*ranks, *family])
    assert run.events("ended")[-1]["outcome"] == "stopped"


def test_a_closed_terminal_ends_all_and_leaves_the_run_to_be_resumed(tmp_path: Path, program):
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "launch", *map(str, options(tmp_path, program("waits")))]
    launcher = subprocess.Popen(
        words, cwd=ROOT, env=environment(), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    run = RunDir(tmp_path / "run")
    ranks = all_here(run, 1)
    os.close(ours)
    assert launcher.wait(30) == 130
    assert gone(ranks, 1) and run.events("ended")[-1]["outcome"] == "stopped"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">/dev/full", "<&- >&- 2>&-", "| true"])
def test_a_run_needs_nobody_who_reads(tmp_path: Path, program, closed: str):
    words = shlex.join([sys.executable, "-m", "launch", *map(str, options(tmp_path, program("module")))])
    done = subprocess.run(
        ["bash", "-c", f"{words} {closed}; exit ${{PIPESTATUS[0]}}"], cwd=ROOT, env=environment(), capture_output=True
    )
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert RunDir(tmp_path / "run").result()


def test_too_few_descriptors_are_said_in_a_line(tmp_path: Path, program):
    words = shlex.join([sys.executable, "-m", "launch", *map(str, options(tmp_path, "--nodes", 8, program("module")))])
    done = subprocess.run(["bash", "-c", f"ulimit -n 16; {words}"], cwd=ROOT, env=environment(), capture_output=True)
    assert done.returncode == 1 and b"Traceback" not in done.stdout + done.stderr
    assert b"\nonly 0 of 8 ranks could be started here (Too many open files" in done.stdout


def test_a_second_interrupt_ends_deaf_ranks_at_once(tmp_path: Path, program):
    launched = Launched(*options(tmp_path, "--nodes", 2, program("deaf")))
    ranks = all_here(RunDir(tmp_path / "run"), 2)
    launched.process.send_signal(signal.SIGINT)
    time.sleep(2.5)
    assert launched.process.poll() is None and not gone(ranks, 0.2)  # they have a minute to save
    launched.process.send_signal(signal.SIGINT)
    status, output = launched.wait(50)
    assert status == 130 and "Ctrl-C ends them at once" in output
    assert gone(ranks)


def test_the_launchers_sudden_death_leaves_no_rank(tmp_path: Path, program):
    launched = Launched(*options(tmp_path, "--nodes", 2, program("deaf")))
    ranks = all_here(RunDir(tmp_path / "run"), 2)
    launched.process.kill()
    launched.process.wait()
    assert gone(ranks, 10)


def test_what_a_rank_has_left_running_ends_with_it(tmp_path: Path, program):
    done = launch(*options(tmp_path, program("leaves")))
    assert done.returncode == 0, done.stdout + done.stderr
    left = [
        p
        for p in psutil.process_iter(["cmdline", "environ"])
        if (p.info["environ"] or {}).get("LAUNCH_RUN") == str(tmp_path / "run")
    ]
    assert gone(left, 2)


def test_a_program_has_all_of_its_time_and_may_start_again(tmp_path: Path, program):
    done = launch(*options(tmp_path, "--nodes", 2, "--time", "0:10", "--max-attempts", 2, program("late")))
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(tmp_path / "run")
    began, ended, *_ = [event for event in run.events() if event["event"] in ("started", "ended")]
    assert (ended["outcome"], ended["reason"]) == ("stopped", "time limit") and ended["time"] - began["time"] >= 10
    assert said(run)[0][-1] == "attempt 2" and run.result()["attempts"] == 2


@pytest.mark.parametrize(("name", "warn", "reason"), [("saves", 10, None), ("waits", 14, "does not handle")])
def test_a_program_is_warned_if_that_is_asked_for(tmp_path: Path, program, name: str, warn: int, reason: str | None):
    done = launch(*options(tmp_path, "--nodes", 2, "--time", "0:15", "--warn", warn, program(name)))
    assert done.returncode == 4, done.stdout + done.stderr
    ended = RunDir(tmp_path / "run").events("ended")[-1]
    assert ended["outcome"] == "stopped" and (reason or "") in ended.get("reason", "")


def test_a_signal_that_a_program_does_not_know_is_ignored(tmp_path: Path, program):
    done = launch(*options(tmp_path, program("unaware")))
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(tmp_path / "run")
    assert said(run)[0] == ["goes on"]


def test_signals_that_are_ignored_at_the_start_stay_so(tmp_path: Path, program):
    """As after nohup, and SIGINT of what a script starts in the background."""
    words = [sys.executable, "-m", "launch", *options(tmp_path, program("waits"))]
    ignoring = f"trap '' HUP INT; exec {shlex.join(map(str, words))}"
    launcher = subprocess.Popen(["bash", "-c", ignoring], cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL)
    (rank,) = all_here(RunDir(tmp_path / "run"), 1)
    for number in (signal.SIGHUP, signal.SIGINT):
        launcher.send_signal(number)
    time.sleep(0.5)
    assert launcher.poll() is None and rank.is_running()
    launcher.terminate()
    assert launcher.wait(300) == 130


def test_a_rank_that_never_stops_printing_does_not_keep_the_launcher_from_its_duty(tmp_path: Path, program):
    done = launch(*options(tmp_path, "--time", "0:02", "--wait", program("endless")), wait=120)
    assert done.returncode == 4


def test_everything_that_is_printed_is_kept_and_labelled(tmp_path: Path, program):
    done = launch(*options(tmp_path, "--ranks-per-node", 2, program("prints")))
    assert done.returncode == 0, done.stdout + done.stderr
    for rank in (0, 1):
        lines = said(RunDir(tmp_path / "run"))[rank]
        assert {"plain", "with a : colon", "error", "no newline"} <= set(lines)
        assert "bytes \udcff\udcfe\x00 end" in lines
        assert lines[-1] == "no newline"
        long = [line for line in lines if set(line) & {"x"} and set(line) <= set("long x")]
        assert "".join(long) == "long " + "x" * 1_000_000


def test_a_line_that_does_not_end_is_passed_on(tmp_path: Path, program):
    launched = Launched(*options(tmp_path, "--time", 1, program("bar")))
    log = RunDir(tmp_path / "run").node_log(0)
    lines = until(lambda: log.exists() and b"here" in log.read_bytes() and log.read_bytes().split(b"\n"), 30)
    launched.process.send_signal(signal.SIGINT)
    _, output = launched.wait()
    assert 3 < len(lines) < 8 and b"".join(line.removeprefix(b"0: ") for line in lines).startswith(
        b"\rstate 0\rstate 1\rstate 2"
    )
    assert "\n0: state 7\n" in output and "\n0: loading ...here" in output


def test_detached_it_goes_on_alone(tmp_path: Path, program):
    done = launch(*options(tmp_path, "--detach", program("environment")))
    assert done.returncode == 0 and f"python -m launch status {tmp_path / 'run'}" in done.stdout
    run = RunDir(tmp_path / "run")
    assert until(run.result, 30)["status"] == "done"
    assert until(lambda: run.events("ended"), 10)[-1]["outcome"] == "done"


def test_one_launcher_a_run(tmp_path: Path, program):
    launched = Launched(*options(tmp_path, program("waits")))
    run = RunDir(tmp_path / "run")
    all_here(run, 1)
    second = launch("resume", run.path)
    assert second.returncode == 2 and second.stderr.count("\n") == 1
    assert f"a launcher is at work on {run.path}, process {launched.process.pid} on" in second.stderr
    launched.process.send_signal(signal.SIGTERM)
    assert launched.wait()[0] == 130
    assert len(run.events("started")) == 1


def test_resuming_a_plain_program_starts_it_again(tmp_path: Path, program):
    run = RunDir(tmp_path / "run")
    failed(launch(*options(tmp_path, program("twice"))), "rank 0 on node 0")
    done = launch("resume", run.path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert said(run)[0] == ["attempt 2"]
    assert run.result()["attempts"] == 2
    assert launch("resume", run.path).returncode == 2


def on_gpus(run: Path, share: bool, program: Path, uuids: tuple[str, ...]) -> subprocess.CompletedProcess:
    """A run of two ranks that were promised a GPU each, on a machine with these cards."""
    planned = plan(here=LAPTOP, target=Target("script", str(program)), machine=Machine(2, 0), gpus_per_node=2,
                   ranks_per_node=2, gpu_binding="slurm", share_gpus=share, cwd=str(program.parent))  # fmt: skip
    run_of(planned, run)
    env = environment(CUDA_VISIBLE_DEVICES=",".join(map(str, range(len(uuids))))) | cards(*uuids)
    return subprocess.run(
        [sys.executable, "-m", "launch", "resume", run], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )


def test_two_ranks_on_one_gpu_end_the_run(tmp_path: Path, program):
    done = on_gpus(tmp_path / "run", False, program("waits"), ("GPU-0a",))
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"failed first: ranks 0 and 1 on \S+ hold the same GPU, GPU-0a: .*--share-gpus", done.stdout)


@pytest.mark.parametrize(
    ("share", "uuids", "held"), [(True, ("GPU-0a",), ["0", "0"]), (False, ("GPU-0a", "GPU-1b"), ["0", "1"])]
)
def test_ranks_that_may_share_or_need_not(
    tmp_path: Path, program, share: bool, uuids: tuple[str, ...], held: list[str]
):
    done = on_gpus(tmp_path / "run", share, program("environment"), uuids)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = said(RunDir(tmp_path / "run"))
    assert [json.loads(lines[rank][0])["CUDA_VISIBLE_DEVICES"] for rank in (0, 1)] == held


needs_mpirun = pytest.mark.skipif(
    not Path(sys.executable).with_name("mpirun").exists() and not shutil.which("mpirun"), reason="there is no mpirun"
)


@needs_mpirun
def test_over_mpi_ranks_are_who_they_are(tmp_path: Path, program):
    words = options(tmp_path, "--rendezvous", "mpi", "--nodes", 2, "--ranks-per-node", 2, program("environment"))
    done = launch(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {rank: json.loads(lines[0]) for rank, lines in said(RunDir(tmp_path / "run")).items()}
    names = ("LAUNCH_RANK", "LAUNCH_LOCAL_RANK", "LAUNCH_NODE", "OMPI_COMM_WORLD_RANK", "HOROVOD_CONTROLLER")
    assert [[found[rank][name] for name in names] for rank in range(4)] == [
        ["0", "0", "0", "0", "mpi"], ["1", "1", "0", "1", "mpi"], ["2", "0", "1", "2", "mpi"], ["3", "1", "1", "3", "mpi"],
    ]  # fmt: skip


@needs_mpirun
@pytest.mark.parametrize(
    ("name", "error"), [("raises", "ValueError: bad mesh"), ("exits", "exit status 3"), ("killed", "ended by SIGKILL")]
)
def test_over_mpi_the_first_failure_is_named(tmp_path: Path, program, name: str, error: str):
    done = launch(*options(tmp_path, "--rendezvous", "mpi", "--nodes", 2, program(name)))
    failed(done, f"rank 1 on node 1 ({os.uname().nodename}) failed first: {error}")


@needs_mpirun
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_over_mpi_no_rank_is_left(tmp_path: Path, program, number: int):
    launched = Launched(*options(tmp_path, "--rendezvous", "mpi", "--nodes", 2, program("waits")))
    ranks = all_here(RunDir(tmp_path / "run"), 2)
    launched.process.send_signal(number)
    assert launched.wait()[0] == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert gone(ranks, 10)


def test_the_mpirun_of_another_mpi_is_refused(tmp_path: Path):
    """MPICH's, whose wheel puts it beside Python, knows other options."""
    (tmp_path / "mpirun").write_text("#!/bin/sh\necho 'HYDRA build details:'\necho '    Version:      5.0.2'\n")
    (tmp_path / "mpirun").chmod(0o755)
    planned = plan(Request(nodes=2, rendezvous="mpi"), LAPTOP, python=str(tmp_path / "python"))
    with pytest.raises(Refusal, match=r"is another one \(HYDRA build details: Version: 5.0.2\)"):
        mpirun.command(planned)


def test_a_site_may_want_to_be_asked_less_often(tmp_path: Path):
    (tmp_path / "calm.toml").write_text('backend = "local"\npoll_s = 2\n')
    (tmp_path / "program.py").write_text("")
    begun = time.monotonic()
    assert launch("--site", tmp_path / "calm.toml", "--runs", tmp_path, tmp_path / "program.py").returncode == 0
    assert time.monotonic() - begun > 2  # the first answer was that it runs, and the second came no earlier
