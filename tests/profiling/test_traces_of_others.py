"""Traces of programs that were not launched here: of PyTorch, of TensorBoard's folders, of Horovod; and AMD's copies.

Those of a GPU are made up, after the formats of Kineto and TensorFlow, as no GPU runs the tests.
"""

import gzip
import json
import subprocess
import sys

import pytest

from profiling.__main__ import main
from profiling.traces import any_path, marks, parts, xplane
from profiling.traces.xplane import Capture, Event, Line


def gpu(*events, name="Stream #1(Kernel)"):
    return Line("/device:GPU:0", name, [Event(what, start, end, {}) for what, start, end in events])


def marked(*lines):
    return Capture(0.0, [Line(xplane.HOST, "python", [Event("train", 0.0, 1.0, {"step_num": 5})]), *lines])


@pytest.mark.parametrize(
    ("copy", "stream", "part"),
    [
        ("CopyHostToDevice", "Stream #3(MemcpyH2D)", "input"),
        ("MemcpyH2D", "Stream #3(MemcpyH2D)", "input"),
        ("Memcpy HtoD (Pageable -> Device)", "Stream #7", "input"),
        ("__amd_rocclr_copyBuffer.kd", "Stream #8(MemcpyH2D)", "input"),
        ("whatever HIP calls it", "Stream #8(MemcpyH2D)", "input"),
        ("CopyDeviceToDevice", "Stream #8(MemcpyOther)", "idle"),
        ("__amd_rocclr_copyBuffer.kd", "Stream #8(MemcpyOther)", "idle"),
        ("__amd_rocclr_fillBufferAligned.kd", "Stream #8(Memset)", "idle"),
        ("MemcpyD2H", "Stream #9(MemcpyD2H)", "idle"),
        ("CopyDeviceToHost", "Stream #9(MemcpyH2D,MemcpyD2H)", "idle"),
        ("ncclDevKernel_AllReduce_Sum_f32", "Stream #9(Kernel)", "communication"),
        ("Cijk_Ailk_Bljk.kd", "Stream #9(MemcpyH2D,Kernel)", "compute"),
    ],
)
def test_copies_and_kernels_of_all_vendors(copy, stream, part):
    (step,) = parts.table(marked(gpu((copy, 0.0, 0.8), name=stream), gpu(("Cijk_Ailk_Bljk.kd", 0.8, 1.0)))).steps
    seconds = dict.fromkeys(parts.PARTS, 0.0) | {"compute": 0.2}
    seconds[part] += 0.8
    found = dict(step.parts, idle=step.parts["idle"] + step.parts["host"], host=0.0)
    assert found == pytest.approx(seconds)


def test_steps_are_found_by_what_repeats():
    events = [("warm", 0.0, 1.0)]
    for step in range(5):
        events += [(name, 1.0 + 10 * step + place, 1.9 + 10 * step + place) for place, name in enumerate("abac")]
    capture = Capture(0.0, [gpu(*events)])
    found = marks.find(capture)
    assert "repetition" in found.how
    assert [round(start, 6) for _, start, _ in found.spans][:4] == [2.0, 12.0, 22.0, 32.0]
    assert {round(end - start, 6) for _, start, end in found.spans} == {10.0}
    table, _ = parts.of_any(capture)
    assert table.steps[0].parts["compute"] == pytest.approx(3.6)
    found = marks.find(Capture(0.0, [gpu(("a", 0.0, 1.0), ("b", 1.0, 4.0))]))
    assert "whole capture" in found.how and found.spans == [(1, 0.0, 4.0)]


def kineto(folder, name="worker.pt.trace.json", steps=True, **about):
    events = [{"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "python"}}]
    for step in (3, 4):
        at = 1e6 * step
        if steps:
            events.append(
                {
                    "ph": "X",
                    "cat": "user_annotation",
                    "name": f"ProfilerStep#{step}",
                    "pid": 1,
                    "tid": 1,
                    "ts": at,
                    "dur": 1000,
                }
            )
        events += [
            {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 1, "tid": 1, "ts": at, "dur": 100},
            {
                "ph": "X",
                "cat": "gpu_memcpy",
                "name": "Memcpy HtoD (Pageable -> Device)",
                "pid": 0,
                "tid": 7,
                "ts": at + 100,
                "dur": 200,
                "args": {"device": 0, "stream": 7},
            },
            {
                "ph": "X",
                "cat": "kernel",
                "name": "sgemm",
                "pid": 0,
                "tid": 7,
                "ts": at + 300,
                "dur": 400,
                "args": {"device": 0, "stream": 7},
            },
            {
                "ph": "X",
                "cat": "kernel",
                "name": "ncclDevKernel_AllReduce",
                "pid": 0,
                "tid": 9,
                "ts": at + 600,
                "dur": 300,
                "args": {"device": 0, "stream": 9},
            },
        ]
    path = folder / name
    content = json.dumps({"schemaVersion": 1, "traceEvents": events, **about}).encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["worker.pt.trace.json", "worker.pt.trace.json.gz"])
def test_a_trace_of_pytorch(tmp_path, capsys, name):
    path = kineto(tmp_path, name, distributedInfo={"rank": 2, "world_size": 4})
    assert main(["trace", str(path), "--json"]) == 0
    (rank,) = json.loads(capsys.readouterr().out)["ranks"]
    assert rank["rank"] == 2 and [step["number"] for step in rank["steps"]] == [3, 4]
    shares = rank["shares"]
    assert shares == pytest.approx(
        {"compute": 0.4, "communication": 0.2, "input": 0.2, "host": 0.1, "compile": 0, "idle": 0.1, "hidden": 0.1},
        abs=1e-3,
    )
    assert main(["trace", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "sgemm" in out and f"rank 2 is {name}; steps: marked by the profiler of PyTorch" in out


def of_events(path, *events, **about):
    """A trace of PyTorch of three steps of 10 ms: kind, name, start and length in each [ms], and its line."""
    steps = [{"ph": "X", "cat": "user_annotation", "name": f"ProfilerStep#{n}", "ts": 1e4 * n, "dur": 1e4, "tid": 1} for n in range(3)]  # fmt: skip
    steps += [
        {"ph": "X", "cat": kind, "name": name, "ts": 1e4 * n + 1e3 * start, "dur": 1e3 * length, "pid": 1, "tid": line}
        for n in range(3)
        for kind, name, start, length, line in events
    ]
    path.write_text(json.dumps({"schemaVersion": 1, "traceEvents": steps, **about}))
    return path


def test_the_span_of_the_recording_is_no_work_of_the_host(tmp_path):
    events = [("cpu_op", "aten::mm", 0, 2, 1), ("kernel", "sgemm", 3, 3, 7)]
    path = of_events(
        tmp_path / "a.pt.trace.json", *events, ("Trace", "PyTorch Profiler (0)", 0, 10, "PyTorch Profiler")
    )
    shares = any_path.document(path)["ranks"][0]["shares"]
    assert (shares["compute"], shares["host"], shares["idle"]) == pytest.approx((0.3, 0.2, 0.5))


@pytest.mark.parametrize("name", ["gloo:all_reduce", "mpi:all_gather", "ucc:barrier", "_c10d_functional::wait_tensor"])
def test_collectives_of_pytorch_on_cpus_are_communication(tmp_path, name):
    events = [("cpu_op", "aten::mm", 0, 3, 1), ("cpu_op", "c10d::allreduce_", 3, 0.2, 1), ("user_annotation", name, 3, 6, 2)]  # fmt: skip
    rank = any_path.document(of_events(tmp_path / "a.pt.trace.json", *events))["ranks"][0]
    shares = rank["shares"]
    assert (shares["compute"], shares["communication"], shares["idle"]) == pytest.approx((0.3, 0.6, 0.1))
    assert [(operation["name"], operation["type"]) for operation in rank["operations"]] == [("aten::mm", "mm")]


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("void at::native::vectorized_elementwise_kernel<4, at::Add<float>, at::Array<char*, 3> >(int, at::Array<char*, 3>)", "vectorized_elementwise_kernel"),
        ("void at::native::elementwise_kernel<128, at::f(at::It&)::{lambda(int)#1}>(int, mul, at::Array<char*, 3>)", "elementwise_kernel"),
        ("void at::native::(anonymous namespace)::softmax_warp_forward<float, 2>(float*, int)", "softmax_warp_forward"),
        ("std::enable_if<!(false), void>::type internal::gemvx::kernel<int, (bool)1>(cublasGemvParams<int>)", "kernel"),
        ("autograd::engine::evaluate_function: AddmmBackward0", "AddmmBackward0"),
        ("void cut<int, short<char>, an", "cut"),
        ("sm80_xmma_gemm_f32", "sm80_xmma_gemm_f32"),
    ],
)  # fmt: skip
def test_the_type_of_a_kernel_is_the_name_of_its_function(tmp_path, kernel, kind):
    path = of_events(tmp_path / "a.pt.trace.json", ("kernel", kernel, 3, 3, 7))
    (operation,) = any_path.document(path)["ranks"][0]["operations"]
    assert (operation["name"], operation["type"]) == (kernel, kind)


def test_traces_of_processes_that_do_not_say_their_ranks(tmp_path, capsys):
    for name in ("host_100.17", "host_101.17", "host_101.18"):
        kineto(tmp_path, f"{name}.pt.trace.json")
    assert [rank["rank"] for rank in any_path.document(tmp_path)["ranks"]] == [0, 1, 1]
    assert main(["trace", str(tmp_path), "--rank", "1"]) == 0
    out = capsys.readouterr().out
    assert "what rank 1 in host_101.17.pt.trace.json computed" in out
    assert "rank 1 is host_101.18.pt.trace.json, by its place, as it does not say its rank; steps" in out


def test_windows_of_a_rank_are_told_apart_by_their_files(tmp_path, capsys):
    for name in ("host_1.170", "host_1.171"):
        kineto(tmp_path, f"{name}.pt.trace.json", distributedInfo={"rank": 0})
    assert main(["trace", str(tmp_path), "--steps"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.endswith("json")]
    assert [(row[0], row[-1]) for row in rows[:2]] == [("0", "host_1.170.pt.trace.json"), ("0", "host_1.171.pt.trace.json")]  # fmt: skip
    assert [row[-1] for row in rows[2:]] == 2 * ["host_1.170.pt.trace.json"] + 2 * ["host_1.171.pt.trace.json"]
    assert main(["trace", str(tmp_path), "--rank", "4"]) == 2
    assert "give one of 0 as" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["json", "json.gz"])
def test_a_folder_of_traces_of_any_names(tmp_path, capsys, ending):
    (tmp_path / "settings.json").write_text("{}")
    assert not any_path.is_run(kineto(tmp_path, f"trace_rank10.{ending}")) and not any_path.is_run(tmp_path)
    kineto(tmp_path, f"trace_rank2.{ending}")
    document = any_path.document(tmp_path)
    assert [rank["rank"] for rank in document["ranks"]] == [2, 10] and len(document["notes"]) == 2
    (tmp_path / "trace_rank3.json.gz").write_bytes(gzip.compress(b"x" * 10_000)[:-20] + b"\xff" * 20)
    assert main(["trace", str(tmp_path)]) == 0
    assert "trace_rank3.json.gz is not a whole trace" in capsys.readouterr().out
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "settings.json").write_text("{}")
    assert any_path.is_run(tmp_path / "other")


def test_the_last_session_of_a_log_folder_is_read(tmp_path, monkeypatch):
    read = []
    empty = parts.Table([parts.Step(1, 0.0, 1.0, dict.fromkeys(parts.PARTS, 0.0), 0.0)], [], [])
    monkeypatch.setattr(any_path.xplane, "read", lambda file, of_others: read.append(file))
    monkeypatch.setattr(any_path.parts, "of_any", lambda capture: (empty, "made up"))
    sessions = ("train", "2024_01_01"), ("new", "2026_11_01"), ("b", "2025_01_01"), ("a", "attempt10"), ("a", "attempt9")  # fmt: skip
    for run, session in sessions[:3]:
        folder = tmp_path / run / "plugins" / "profile" / session
        folder.mkdir(parents=True)
        (folder / "vm.xplane.pb").write_bytes(b"")
    document = any_path.document(tmp_path)
    last = tmp_path / "new" / "plugins" / "profile" / "2026_11_01"
    assert read == [last / "vm.xplane.pb"] and document["notes"][0] == f"the last of 3 sessions: {last}"
    for run, session in sessions[3:]:
        folder = tmp_path / run / "plugins" / "profile" / session
        folder.mkdir(parents=True)
        (folder / "rank3.xplane.pb").write_bytes(b"")
    document = any_path.document(tmp_path / "a")
    assert read[-1].parent.name == "attempt10" and document["ranks"][0]["rank"] == 3


def test_a_trace_without_marks_says_so(tmp_path, capsys):
    assert main(["trace", str(kineto(tmp_path, steps=False))]) == 0
    assert "steps: not marked" in capsys.readouterr().out


@pytest.mark.parametrize("length", [0, -5, float("inf"), 10**400])
def test_steps_of_no_length_are_refused_and_a_good_trace_beside_them_shown(tmp_path, capsys, length):
    step = {"ph": "X", "name": "ProfilerStep#1", "cat": "user_annotation", "ts": 5, "dur": length, "tid": 1}
    bad = tmp_path / "bad.pt.trace.json"
    bad.write_text(json.dumps({"schemaVersion": 1, "traceEvents": [step]}))
    assert main(["trace", str(bad)]) == 2
    error = capsys.readouterr().err
    assert bad.name in error and error.count("\n") == 1
    kineto(tmp_path)
    assert main(["trace", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "sgemm" in out and f"left out: {bad}" in out


def test_events_that_are_none_change_nothing(tmp_path):
    before = any_path.document(kineto(tmp_path))
    kernel = {"ph": "X", "cat": "kernel", "name": "bad", "pid": 0, "tid": 7, "ts": 3e6 + 300, "dur": 200}
    others = [{"cat": ["a"]}, {"dur": -100}, {"dur": float("nan")}, {"ts": float("inf")}, {"ts": None}]
    path = tmp_path / "worker.pt.trace.json"
    content = json.loads(path.read_text())
    content["traceEvents"][:0] = [kernel | other for other in others]
    path.write_text(json.dumps(content))
    assert any_path.document(path) == before


def test_a_timeline_of_horovod(tmp_path, capsys):
    path = tmp_path / "timeline.json"
    events = [
        {
            "name": "process_name",
            "ph": "M",
            "pid": 0,
            "args": {"name": "gradient", "start_time_since_epoch_in_micros": 10**6},
        },
        {"name": "NEGOTIATE_ALLREDUCE", "ph": "B", "pid": 0, "ts": 0},
        {"name": "NEGOTIATE_ALLREDUCE", "ph": "E", "pid": 0, "ts": 1000},
        {"name": "ALLREDUCE", "ph": "B", "pid": 0, "ts": 1500},
        {"name": "NCCL_ALLREDUCE", "ph": "B", "pid": 0, "ts": 1500},
        {"ph": "E", "pid": 0, "ts": 3500},
        {"ph": "E", "pid": 0, "ts": 3500, "args": {"dtype": "float32", "shape": "[10]"}},
    ]
    path.write_text(json.dumps(events))
    assert main(["trace", str(path)]) == 0
    assert "gradient" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("host.xplane.pb", b"x", "is not a whole trace", marks=pytest.mark.slow),  # imports TensorFlow
        ("a.json", b"{", "is not"),
        ("a.pt.trace.json", b'{"traceEvents": [', "is not a whole trace"),
        ("a.json.gz", b"\x1f\x8bxx", "is not a whole trace"),
        ("a.json", b'{"traceEvents": []}', "neither of PyTorch nor of Horovod"),
        ("a.pt.trace.json", b'{"schemaVersion": 1, "traceEvents": []}', "holds no event"),
        ("a.txt", b"x", "is no trace that is known"),
    ],
)
def test_what_is_no_trace(tmp_path, capsys, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    assert main(["trace", str(path)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert main(["trace", str(path), "--attempt", "1"]) == 2


PROGRAM = """
import sys, tensorflow as tf
weights = tf.Variable(tf.random.normal((200, 200)))
@tf.function
def step(x):
    return tf.reduce_sum(tf.linalg.matmul(tf.tanh(tf.linalg.matmul(x, weights)), weights))
x = tf.random.normal((200, 200)); step(x)
tf.profiler.experimental.start(sys.argv[1])
for number in range(4):
    with tf.profiler.experimental.Trace("mine", step_num=number, _r=1):
        step(x).numpy()
tf.profiler.experimental.stop()
"""


@pytest.mark.slow
def test_a_log_folder_of_tensorboard(tmp_path, capsys):
    """What TensorFlow's own profiler writes of a program that knows nothing of this project."""
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=True, capture_output=True)
    assert main(["trace", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (rank,) = document["ranks"]
    assert [step["number"] for step in rank["steps"]] == [0, 1, 2, 3] and "marked as 'mine'" in document["notes"][0]
    assert any("MatMul" in operation["type"] for operation in rank["operations"])
    assert sum(rank["shares"][part] for part in parts.PARTS) == pytest.approx(1)
