"""Which rank failed first: recorded failures and job logs."""

import re
from pathlib import Path

import pytest
from plans import plan, run_of

from launch.node import ending
from launch.plan.request import Request
from launch.record.failures import job_log
from launch.record.failures.causes import suggestion
from launch.record.failures.diagnose import first_failure
from launch.record.failures.paragraph import paragraph
from launch.record.rundir import RunDir
from launch.record.writing import append_line, publish_json

SHUTDOWN = "HorovodInternalError: Horovod has been shut down. This was caused by an exception on one of the ranks"


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run of 3 nodes x 2 ranks in its first attempt."""
    made = run_of(plan(Request(nodes=3, ranks_per_node=2, warn=60)), tmp_path / "run")
    made.append_event("started", attempt=1, host="node1")
    return made


def raised(run: RunDir, rank: int, time: float, error: str, attempt: int = 1, traceback: str = "") -> None:
    line = {"time": time, "attempt": attempt, "rank": rank, "node": rank // 2, "host": f"node{rank // 2 + 1}",
            "error": error, "traceback": traceback}  # fmt: skip
    append_line(run.failures / f"node{rank // 2}.jsonl", line)


def logged(run: RunDir, *lines: str, attempt: int = 1) -> None:
    with open(run.job_log, "a", encoding="utf-8") as log:
        log.write("\n".join([f"launch: attempt {attempt}", *lines, ""]))


# What srun of Slurm 22.05.8 wrote on 3 nodes x 2 tasks when task 3 failed and the others ended by SIGTERM.
EXIT_1 = (
    "srun: error: node2: task 3: Exited with exit code 1",
    "srun: launch/slurm: _step_signal: Terminating StepId=10.0",
    "srun: error: node2: task 2: Terminated",
    "srun: error: node1: tasks 0-1: Terminated",
    "srun: Force Terminated StepId=10.0",
)
KILLED = ("srun: error: node2: task 3: Killed", *EXIT_1[1:])


def first(run: RunDir, attempt: int = 1) -> tuple[int, int, str, str]:
    found = first_failure(run, attempt)
    return found.rank, found.node, found.host, found.error


def test_no_failure(run: RunDir):
    assert first_failure(run, 1) is None
    logged(run, "loading modules", "srun: error: node1: tasks 0-1: Exited with exit code 75")
    assert first_failure(run, 1) is None


def test_what_srun_says_while_the_attempt_is_begun_belongs_to_it(run: RunDir):
    run.job_log.write_text("\n".join(["launch: ranks start", EXIT_1[0], ""]))
    logged(run)
    assert first(run) == (3, 1, "node2", "exit status 1")
    with open(run.job_log, "a") as log:  # of a job that found it running
        log.write(
            "\n".join(
                ["launch: ranks start", KILLED[0].replace("task 3", "task 2"), "launch: not started: it is running", ""]
            )
        )
    assert first(run) == (3, 1, "node2", "exit status 1")


def test_a_crash_comes_before_the_status_with_which_another_rank_left_because_of_it(run: RunDir):
    raised(run, 0, 10.0, "exit status 14")
    assert first(run) == (0, 0, "node1", "exit status 14")
    raised(run, 3, 20.0, "ended by SIGSEGV")  # ten seconds later it is a failure of its own
    assert first(run)[0] == 0
    logged(run, "srun: error: node3: task 5: Segmentation fault")
    assert first(run) == (5, 2, "node3", "ended by SIGSEGV")
    raised(run, 3, 11.0, "ended by SIGSEGV")
    assert first(run) == (3, 1, "node2", "ended by SIGSEGV")
    raised(run, 1, 9.0, "ValueError: bad mesh")
    assert first(run)[3] == "ValueError: bad mesh"


def test_what_an_earlier_attempt_printed_is_not_of_this_one(run: RunDir):
    run.node_log(1).write_text("2: once\n")
    run.append_event("started", attempt=2, host="node1", logs=[0, run.node_log(1).stat().st_size, 0])
    with open(run.node_log(1), "a") as log:
        log.write("2: again\n")
    raised(run, 2, 1.0, "exit status 4", attempt=2)
    run.append_event("ended", attempt=2, outcome="failed", first_failure={"rank": 2, "node": 1, "host": "node2", "error": "exit status 4"})  # fmt: skip
    assert "again" in paragraph(run) and "once" not in paragraph(run)


def test_an_error_of_many_lines_has_one_in_front(run: RunDir):
    raised(run, 2, 1.0, "ValueError: bad mesh\nin cell 7", traceback="Traceback\nValueError: bad mesh\nin cell 7\n")
    first, *others = paragraph(run).splitlines()
    assert first.endswith("failed first: ValueError: bad mesh ...") and others[-1] == "    in cell 7"


def test_of_an_error_within_code_that_tensorflow_has_compiled_the_error_itself_is_in_front(run: RunDir):
    lines = (
        'in user code:\n\n    File "wave.py", line 3, in None  *\n        x == y\n\n    TypeError: int32 and int64\n'
    )
    raised(run, 2, 1.0, f"TypeError: {lines}", traceback=f"Traceback\nTypeError: {lines}")
    first, *others = paragraph(run).splitlines()
    assert (
        first.endswith("failed first: TypeError: int32 and int64")
        and others[-1].strip() == "TypeError: int32 and int64"
    )


def test_by_time_not_by_rank_or_file(run: RunDir):
    raised(run, 0, 103.0, "ValueError: late")
    raised(run, 5, 101.0, "ValueError: early")
    raised(run, 1, 102.0, "ValueError: between")
    assert first(run) == (5, 2, "node3", "ValueError: early")


@pytest.mark.parametrize(
    "cascade",
    [
        SHUTDOWN,
        "RuntimeError: [/tmp/gloo/transport/tcp/pair.cc:589] Read error [10.0.0.2]:3101: Connection reset by peer",
        "ConnectionError: Connection closed by peer [10.0.0.2]:3101",
        "UnknownError: ncclSystemError: System call (socket, malloc, munmap, etc) failed.",
        "rank 0 did not start within 300 s: see node0.log",
        "ended by SIGTERM",
    ],
)
def test_what_the_others_say_when_one_has_gone_is_not_the_cause(run: RunDir, cascade: str):
    raised(run, 0, 100.0, cascade)
    raised(run, 3, 100.5, "KeyError: 'mesh'")  # its clock is late, or it took long to write
    assert first(run) == (3, 1, "node2", "KeyError: 'mesh'")


def test_if_all_speak_of_the_cascade_the_first_does(run: RunDir):
    raised(run, 4, 100.2, SHUTDOWN)
    raised(run, 2, 100.1, SHUTDOWN)
    assert first(run)[0] == 2


def test_srun_tells_of_a_rank_that_said_nothing(run: RunDir):
    raised(run, 0, 100.0, SHUTDOWN)
    logged(run, *KILLED)
    assert first(run) == (3, 1, "node2", "ended by SIGKILL")


def test_the_ranks_own_words_come_before_sruns(run: RunDir):
    raised(run, 3, 100.0, "ValueError: bad mesh")
    logged(run, *EXIT_1)
    assert first(run)[3] == "ValueError: bad mesh"


@pytest.mark.parametrize(
    ("line", "rank", "error"),
    [
        ("srun: error: node2: task 3: Exited with exit code 1", 3, "exit status 1"),
        ("srun: error: node2: tasks 2-3: Exited with exit code 127", 2, "exit status 127"),
        ("srun: error: node1: tasks 0,2-3: Killed", 0, "ended by SIGKILL"),
        ("srun: error: node3: task 5: Segmentation fault (core dumped)", 5, "ended by SIGSEGV"),
        ("srun: error: node3: task 5: Aborted", 5, "ended by SIGABRT"),
        ("srun: error: node3: task 5: Bus error (core dumped)", 5, "ended by SIGBUS"),
        ("srun: error: node3: task 5: Out Of Memory", 5, "ended by Out Of Memory"),
        ("srun: error: node3: task 5: User defined signal 2", 5, "ended by SIGUSR2"),
    ],
)
def test_words_of_srun(run: RunDir, line: str, rank: int, error: str):
    logged(run, line, *EXIT_1[1:])
    assert first(run) == (rank, rank // 2, line.split()[2].rstrip(":"), error)


def test_a_rank_that_saved_and_left_has_not_failed(run: RunDir):
    # srun's own status is then 75, the largest of all: only its lines tell.
    logged(
        run,
        "srun: error: node1: tasks 0-1: Exited with exit code 75",
        "srun: error: node2: task 3: Exited with exit code 7",
    )
    assert first(run) == (3, 1, "node2", "exit status 7")


def test_earlier_attempts_are_past(run: RunDir):
    raised(run, 1, 50.0, "ValueError: of the first attempt")
    logged(run, *KILLED)
    logged(run, "srun: error: node1: tasks 0-1: Exited with exit code 75", attempt=2)
    assert first_failure(run, 2) is None
    logged(run, "srun: error: node3: task 4: Exited with exit code 9", "a line: launch: attempt 7", attempt=3)
    assert first(run, 3) == (4, 2, "node3", "exit status 9")
    assert first(run, 1) == (1, 0, "node1", "ValueError: of the first attempt")


def ended(run: RunDir, status: int) -> str:
    outcome = ending.end(run, status)
    assert run.events("ended")[-1]["outcome"] == outcome
    return outcome


def test_how_an_attempt_ended(run: RunDir):
    assert ended(run, 75) == "stopped"
    logged(run, "srun: error: node2: task 3: Exited with exit code 7")
    assert ended(run, 75) == "failed"  # 75 was only the largest
    assert ended(run, 143) == "failed"
    publish_json(run.result_json, {"status": "done"})
    assert ended(run, 143) == "done"  # the result was there when a rank fell over its own end


def test_the_paragraph_has_rank_node_step_error_and_last_lines(run: RunDir):
    for step in (1, 2, 3):
        append_line(run.steps / "node1.jsonl", {"rank": 3, "step": step, "start": 9.0, "seconds": 1.0})
    append_line(run.steps / "node1.jsonl", {"rank": 2, "step": 9, "start": 9.0, "seconds": 1.0})
    trace = (
        "Traceback (most recent call last):\n" + "".join(f"  line {i}\n" for i in range(30)) + "ValueError: bad mesh\n"
    )
    raised(run, 3, 100.0, "ValueError: bad mesh", traceback=trace)
    ended(run, 1)
    text = paragraph(run).splitlines()
    assert text[0] == "rank 3 on node 1 (node2) failed first, after step 3: ValueError: bad mesh"
    assert len(text) == 13 and text[-1] == "    ValueError: bad mesh"


def test_the_paragraph_of_a_rank_that_said_nothing_shows_its_last_lines(run: RunDir):
    run.node_log(1).write_text(
        "2: all is well\n3: reading the mesh\n"
        "3: slurmstepd-node2: error: *** STEP 10.0 ON node2 CANCELLED AT 2026-03-01T12:00:00 ***\n3: Illegal instruction\n"
    )
    logged(run, *KILLED)
    ended(run, 137)
    assert paragraph(run).splitlines()[:3] == [
        "rank 3 on node 1 (node2) failed first: ended by SIGKILL",
        "    reading the mesh",
        "    Illegal instruction",
    ]
    assert "out-of-memory killer" in paragraph(run)


def test_what_gloo_says_is_shown_with_what_to_do_and_not_the_modules_that_python_lists_after_it(run: RunDir):
    threads = [f'  File "program.py", line {line} in step' for line in range(40)]
    said = [
        "terminate called after throwing an instance of 'gloo::IoException'",
        "  what():  [gloo/transport/tcp/pair.cc:598] Connection closed by peer [127.0.0.1]:16552",
        "Fatal Python error: Aborted", "", "Thread 0x00007f6d (most recent call first):", *threads,
        "", "Extension modules: numpy._core (total: 135)",
    ]  # fmt: skip
    run.node_log(1).write_text("".join(f"3: {line}\n" for line in said))
    logged(run, "srun: error: node2: task 3: Aborted")
    ended(run, 134)
    text = paragraph(run)
    assert "gloo::IoException" in text and "Connection closed by peer" in text and "Extension modules" not in text
    assert "another program has connected" in text and len(text.splitlines()) < 16


def test_if_nobody_knows_the_last_lines_are_shown(run: RunDir):
    assert paragraph(run) == f"no rank said why it failed; see {run.logs}"
    run.job_log.write_text("launch: attempt 1\nslurmstepd: error: execve(): no such file\n")
    ended(run, 2)
    assert paragraph(run).splitlines()[-1] == "    slurmstepd: error: execve(): no such file"


def test_ranks_that_srun_could_not_start(run: RunDir):
    logged(
        run,
        "srun: error: Task launch for StepId=7.0 failed on node node2: Job credential expired",
        "srun: error: Application launch failed: Job credential expired",
        "srun: Job step aborted: Waiting up to 32 seconds for job step to finish.",
        "srun: error: node1: task 0: Killed",
    )
    ended(run, 137)
    text = paragraph(run)
    assert "(node2) failed first: not started by srun: Job credential expired" in text
    assert "what to do" in text and "memory" not in text


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("ended by SIGKILL", "out-of-memory killer"),
        ("ended by Out Of Memory", "out-of-memory killer"),
        ("ResourceExhaustedError: OOM when allocating tensor with shape[64,128]", "smaller --batch"),
        ("MemoryError: ", "smaller --batch"),
        ("Diverged: loss is nan at step 12 on rank 3, learning rate 0.1", "lower --lr"),
        ("ModuleNotFoundError: No module named 'h5py'", "rankloop doctor"),
        ("OSError: [Errno 28] No space left on device", "another --runs"),
        ("OSError: [Errno 113] No route to host", "network_interface"),
        ("ended by SIGSEGV", "compiled code"),
        ("--require-network: NCCL talks over TCP sockets (Socket), and ours has Slingshot", "aws-ofi-nccl"),
        ("ValueError: bad mesh", ""),
    ],
)
def test_what_to_do(error: str, advice: str):
    workload, program = suggestion(error, True), suggestion(error, False)
    assert advice in workload and bool(workload) == bool(advice)
    assert not re.search("--(lr|warmup|batch)", program), program  # its own options are not known
    assert bool(program) == bool(advice) or "diverged" in workload


def test_what_to_do_about_memory():
    assert suggestion("MemoryError", True) == "out of memory: use fewer ranks on a node or a smaller --batch"
    assert suggestion("MemoryError", True, ranks=1) == "out of memory: use a smaller --batch"
    for error in ("MemoryError", "ended by SIGKILL"):
        assert suggestion(error, False, ranks=1).endswith("give the rank more memory")
    for error in ("MemoryError", "_ArrayMemoryError: Unable to allocate", "std::bad_alloc", "Cannot allocate memory"):
        assert "is limited to 879 MiB (ulimit -v)" in suggestion(error, True, address_space=900000 * 1024)
    assert "ulimit" not in suggestion("ended by Out Of Memory", False, address_space=2**30)
    assert "ulimit" not in suggestion("ended by SIGKILL", False, address_space=2**30)


@pytest.mark.parametrize(
    "error",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB",
        "torch.cuda.OutOfMemoryError: HIP out of memory.",
        "ResourceExhaustedError: OOM when allocating tensor on /job:localhost/replica:0/task:0/device:GPU:0",
        "RuntimeError: CUDA_ERROR_OUT_OF_MEMORY",
    ],
)
def test_what_to_do_about_the_memory_of_a_gpu(error: str):
    assert suggestion(error, False, ranks=1) == "the memory of the GPU is full: give each rank less at a time"
    assert suggestion(error, True).endswith("by a smaller --batch")


CANCELLED = "slurmstepd: error: *** {} 10{} ON node1 CANCELLED AT 2026-03-01T12:00:00{} ***"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([CANCELLED.format("JOB", "", ""), *EXIT_1], "cancelled"),
        ([CANCELLED.format("JOB", "", " DUE TO TIME LIMIT"), *EXIT_1], "time limit"),
        # In a task of an array, and a run of a packed study, what is said of the job stands elsewhere.
        ([CANCELLED.format("STEP", ".0", " DUE TO TIME LIMIT"), *EXIT_1], "time limit"),
        ([*EXIT_1, CANCELLED.format("STEP", ".0", "")], None),  # srun ends the others
        ([*EXIT_1, CANCELLED.format("JOB", "", " DUE TO TIME LIMIT")], None),  # too late to be the cause
    ],
)
def test_who_ended_the_ranks(run: RunDir, lines: list[str], reason: str | None):
    logged(run, *lines)
    assert (job_log.ended_by_slurm(run) or None) == reason
    assert ending.end(run, 143, job_log.ended_by_slurm(run)) == ("stopped" if reason else "failed")
    assert run.events("ended")[-1].get("reason") == reason


def test_the_launchers_own_signal_is_the_reason_where_it_ended_a_rank(run: RunDir):
    logged(run, "srun: error: node2: task 3: User defined signal 2", *EXIT_1[1:])
    assert ended(run, 140) == "stopped"
    assert "request of the launcher" in run.events("ended")[-1]["reason"]
