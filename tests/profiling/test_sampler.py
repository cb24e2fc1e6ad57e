"""Readings of real runs on this machine: who is read, until when, and what a kill leaves; their files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from launched import ROOT, Launched, environment, gone, launch, until
from nvml import cards
from plans import LAPTOP, plan, run_of

from launch.plan.shape import Machine
from launch.plan.target.workload import Target
from launch.record.files import read_lines
from launch.record.rundir import RunDir
from profiling.cli import overview
from profiling.telemetry import readings, sampler
from profiling.telemetry.host import Host, Process
from profiling.telemetry.reading_lines import READING, ReadingWriter

WAITS = "import os, time\nprint('here', os.getpid(), flush=True)\ntime.sleep({seconds})\n"


def program(folder: Path, text: str) -> Path:
    path = folder / "program.py"
    path.write_text(text)
    return path


def rows(run: RunDir) -> list[dict]:
    """All readings, absent values left out, in the order of time."""
    database = readings.view(run.readings)
    if database is None:
        return []
    with database:
        names = [field.name for field in READING]
        found = database.execute(f"SELECT {', '.join(names)} FROM reading ORDER BY time_ms, rank").fetchall()
    return [{name: value for name, value in zip(names, row) if value is not None} for row in found]


def samplers(run: RunDir) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(run.path) in (words := process.info["cmdline"] or []) and "profiling.telemetry.sampler" in words
    ]


def options(folder: Path, *words: object) -> list[object]:
    return ["--backend", "local", "--runs", folder, "--name", "run", "--sample-hz", 20, *words]


def test_each_node_is_read_from_the_first_to_the_last_of_its_ranks(tmp_path: Path):
    # rank 0 of each node ends first; the other burns time of a core, which is its own and not rank 0's
    text = "import os, time\nend = time.time() + 2 * int(os.environ['LOCAL_RANK'])\nwhile time.time() < end: sum(range(999))"
    done = launch(*options(tmp_path, "--nodes", 2, "--ranks-per-node", 2, program(tmp_path, text)))
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(tmp_path / "run")
    assert until(lambda: not samplers(run), 10)
    assert (run.readings / "errors.log").read_text() == ""
    found = rows(run)
    assert {row["attempt"] for row in found} == {1}
    for node in (0, 1):
        of = {
            rank: [row for row in found if row["node"] == node and row.get("rank") == rank]
            for rank in (2 * node, 2 * node + 1)
        }
        busy = [row["cpu_ms"] for row in of[2 * node + 1] if "cpu_ms" in row]
        assert len(busy) > 5 and busy == sorted(busy) and busy[-1] - busy[0] > 200
        assert max(row["rss_bytes"] for row in of[2 * node] if "rss_bytes" in row) > 2**20
        host = [row for row in found if row["node"] == node and "rank" not in row]
        assert len(host) == len(of[2 * node]) == len(of[2 * node + 1])
        assert host[-1]["host_cpu_ms"] > host[0]["host_cpu_ms"] and host[-1]["sampling_us"] > 0
        began, ended = (line for line in read_lines(run.reading_notes(node)) if line["event"] != "code")
        assert (began["hz"], began["gpus"], ended["readings"]) == (20, [], len(host))
        assert ended["cpu_s"] > 0


UNTIL_LOST = """
import os, time
from pathlib import Path
notes, end = Path(os.environ["LAUNCH_RUN"]) / "readings" / "node1.notes", time.monotonic() + 60
while not (notes.exists() and "GPU is lost" in notes.read_text()) and time.monotonic() < end:
    time.sleep(0.1)
time.sleep(0.5)
"""


def test_the_gpus_of_the_ranks_are_read_by_node_until_one_is_lost(tmp_path: Path):
    planned = plan(here=LAPTOP, target=Target("script", str(program(tmp_path, UNTIL_LOST))),
                   machine=Machine(2, 0), nodes=2, ranks_per_node=1, gpus_per_node=1, sample_hz=20.0, cwd=str(tmp_path))  # fmt: skip
    run = run_of(planned, tmp_path / "run")
    env = {k: v for k, v in environment().items() if k != "CUDA_VISIBLE_DEVICES"}
    env |= cards("GPU-0a", "GPU-1b", "GPU-2c") | {"FAKE_NVML_LOST": "GPU-1b=1.0"}
    words = [sys.executable, "-m", "launch", "resume", str(run.path)]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (run.readings / "errors.log").read_text() == ""
    found = rows(run)
    assert {(row["node"], row.get("rank"), row.get("device")) for row in found} == {
        (0, 0, "GPU-0a"), (1, 1, "GPU-1b"), (0, None, None), (1, None, None)
    }  # fmt: skip
    sound = [row for row in found if row.get("rank") == 0]
    assert all(row["power_average_mw"] == 300_000 for row in sound)
    assert sound[-1]["energy_mj"] > sound[0]["energy_mj"] > 5e9
    lost = [row for row in found if row.get("rank") == 1]
    there = ["power_average_mw" in row for row in lost]
    assert there == sorted(there, reverse=True) and 0 < sum(there) < len(there)
    codes = [line for line in read_lines(run.reading_notes(1)) if line["event"] == "code"]
    assert {(line["device"], line["code"], line["error"]) for line in codes} == {("GPU-1b", 15, "GPU is lost")}
    assert not [line for line in read_lines(run.reading_notes(0)) if line["event"] == "code"]


LATE = """
import os, time
from pathlib import Path
from profiling.telemetry.records import StepWriter
rank = int(os.environ["RANK"])
with StepWriter(Path(os.environ["LAUNCH_RUN"]) / "steps" / f"node{os.environ['LAUNCH_NODE']}.jsonl", rank, 1) as records:
    for step in range(1, 121):
        start, late = time.time(), 0.01 if rank == 1 and step > 60 else 0.0
        time.sleep(0.02 + late)
        records.write(epoch=0, step=step, start=start, seconds=0.032, input_seconds=0.001, own_seconds=0.02 + late, examples=8,
                      loss=1.0, learning_rate=0.1, traced=False, compiled=step == 1)
        time.sleep(0.012 - late)
"""


def test_a_rank_whose_gpu_is_held_down_is_named_with_the_reason(tmp_path: Path):
    """Ranks, sampler and driver as in a run: which rank, node and GPU, since when, by how much, and why."""
    planned = plan(here=LAPTOP, target=Target("script", str(program(tmp_path, LATE))), machine=Machine(2, 0), nodes=3,
                   ranks_per_node=1, gpus_per_node=1, sample_hz=20.0, cwd=str(tmp_path))  # fmt: skip
    run = run_of(planned, tmp_path / "run")
    env = {k: v for k, v in environment(PYTHONPATH=str(ROOT)).items() if k != "CUDA_VISIBLE_DEVICES"}
    env |= cards("GPU-0a", "GPU-1b", "GPU-2c") | {"FAKE_NVML_HELD": "GPU-1b"}
    words = [sys.executable, "-m", "launch", "resume", str(run.path)]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = overview.document(run, overview.state(run))["stragglers"]
    assert (found["rank"], found["node"], found["device"]) == (1, 1, "GPU-1b")
    assert (found["first_step"], found["last_step"]) == (61, 120)
    assert found["late_seconds"] == pytest.approx(0.01) and found["slows"] == pytest.approx(0.01 / 0.032)
    clocks, power = found["because"]
    assert clocks == "its GPU runs at 990 MHz, others at 1410"
    assert power.startswith("throttled for power ") and power.endswith("% of the time, others 0%")


def test_the_sampler_is_not_among_a_programs_children(tmp_path: Path):
    text = "import os\ntry: os.wait()\nexcept ChildProcessError: print('none')\n"
    done = launch(*options(tmp_path, program(tmp_path, text)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0: none" in (tmp_path / "run/logs/node0.log").read_text()
    assert rows(RunDir(tmp_path / "run"))


AS_ELSEWHERE = """
import errno, os, sys
def refused(*words): raise OSError(errno.EINVAL, "Invalid argument")
os.sched_setaffinity = refused
from profiling.telemetry import sampler
sys.exit(sampler.main(sys.argv[1:]))
"""


def test_neither_gaps_in_core_numbers_nor_a_rank_that_has_ended_stop_the_sampler(tmp_path: Path):
    run = run_of(plan(here=LAPTOP), tmp_path / "run")
    run.readings.mkdir()
    ended = subprocess.Popen(["true"])
    ended.wait()
    waits = subprocess.Popen(["sleep", "1"])
    ranks = [
        {"rank": 0, "pid": ended.pid, "gpus": ["GPU-0a", "GPU-1b"]},
        {"rank": 1, "pid": waits.pid, "gpus": ["GPU-0a"]},
    ]
    words = [sys.executable, "-c", AS_ELSEWHERE, str(run.path), "0", "1", "20", json.dumps(ranks)]
    env = environment(PYTHONPATH=str(ROOT)) | cards("GPU-0a", "GPU-1b") | {"FAKE_NVML_NAME": "\udcff"}
    sampler = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    waits.wait()
    assert sampler.wait(300) == 0
    found = rows(run)
    assert {(row.get("rank"), row.get("device")) for row in found} == {
        (0, "GPU-0a"), (1, None), (None, "GPU-1b"), (None, None)
    }  # fmt: skip
    assert all(row["power_mw"] == 310_000 for row in found if "device" in row)
    assert any("cpu_ms" in row for row in found if row.get("rank") == 1)
    began, _ = (line for line in read_lines(run.reading_notes(0)) if line["event"] != "code")
    assert [(card["device"], card["rank"]) for card in began["gpus"]] == [("GPU-0a", 0), ("GPU-1b", 0)]
    assert "not readable" in began["gpus"][0]["name"]


def test_a_sampler_starts_without_a_descriptor_of_its_rank_however_many_there_may_be(tmp_path: Path):
    """A container may allow 2^30 descriptors, which must not be closed one by one."""
    code = """
import os, socket, sys, time
from pathlib import Path
from launch.node import detached
os.sysconf, os.closerange = lambda name: 2**30, lambda first, last: time.sleep(1e-7 * (last - first))
ours, theirs = socket.socketpair()
os.dup2(1, 77)
began = time.monotonic()
detached.start([sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd'))"], theirs.fileno(), Path("errors"))
print(ours.recv(100).decode(), time.monotonic() - began < 90)
"""
    env = environment(PYTHONPATH=str(ROOT))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert "77" not in done.stdout and done.stdout.endswith("True\n"), done.stderr


def test_no_readings_where_none_are_wanted(tmp_path: Path):
    done = launch(*options(tmp_path, "--sample-hz", 0, program(tmp_path, "import time; time.sleep(0.3)")))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "run/readings").exists()
    refused = launch("--sample-hz=-1", tmp_path / "program.py")
    assert refused.returncode == 2 and "--sample-hz" in refused.stderr and refused.stderr.count("\n") == 1


@pytest.mark.parametrize("victim", ["launcher", "rank", "sampler"])
def test_after_a_sudden_death_nothing_is_left_but_the_readings(tmp_path: Path, victim: str):
    launched = Launched(*options(tmp_path, "--nodes", 2, program(tmp_path, WAITS.format(seconds=120))))
    run = RunDir(tmp_path / "run")
    until(lambda: len({row["node"] for row in rows(run)}) == 2 and len(rows(run)) > 20, 60)
    beside = samplers(run)
    assert len(beside) == 2
    if victim == "launcher":
        launched.process.kill()
        launched.process.wait()
    elif victim == "rank":
        next(iter(launched.ranks().values())).kill()
        assert launched.wait()[0] == 1
    else:
        for process in beside:
            process.kill()
        before = rows(run)
        time.sleep(0.3)
        assert launched.process.poll() is None  # the run goes on without them
        assert len(rows(run)) == len(before) > 20
        launched.process.send_signal(signal.SIGINT)
        assert launched.wait()[0] == 130
    assert gone(beside, 15)
    assert (run.readings / "errors.log").read_text() == ""
    found = rows(run)
    assert len(found) > 20
    assert {"cpu_ms", "rss_bytes"} <= set().union(*found)


def lines(number: int) -> list[dict]:
    """As a sampler of two ranks would write them."""
    made = []
    for i in range(number):
        now = {"time_ms": 1_763_900_000_000 + 1000 * i, "node": 3, "attempt": 2}
        made += [
            {**now, "rank": rank, "device": f"GPU-{rank}", "power_mw": 250_000 + i % 7, "energy_mj": i**2}
            for rank in (6, 7)
        ]
        made.append({**now, "host_cpu_ms": 5 * i})
    return made


def test_lines_become_parquet_with_the_same_content_and_a_torn_one_is_none(tmp_path: Path):
    run = RunDir(tmp_path)
    path, made = run.node_readings(3, 2), lines(900)
    with ReadingWriter(path) as writer:
        writer.write(made)
    with open(path, "a") as file:
        file.write('{"time_ms":1763900900000,"node":3,"attempt":2,"rank":6,"power_mw":25')
    before = rows(run)
    size = path.stat().st_size
    compacted = readings.compact(path)
    assert compacted.suffix == ".parquet" and not path.exists() and compacted.stat().st_size < size / 10
    assert rows(run) == before == sorted(made, key=lambda row: (row["time_ms"], row.get("rank", 99)))


def test_a_kill_between_the_two_files_counts_nothing_twice(tmp_path: Path):
    run = RunDir(tmp_path)
    path = run.node_readings(0, 1)
    with ReadingWriter(path) as writer:
        writer.write(lines(400))
    kept = path.read_bytes()
    readings.compact(path)
    path.write_bytes(kept)
    assert len(rows(run)) == 1200


def test_the_lines_go_when_the_parquet_file_is_on_the_disk_and_not_without_duckdb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = RunDir(tmp_path).node_readings(0, 1)
    with ReadingWriter(path) as writer:
        writer.write(lines(400))
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "duckdb", None)
        assert readings.compact(path) == path and path.exists()
    done: list[str] = []
    for name in ("fsync", "replace", "unlink"):
        call = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *words, name=name, call=call: (call(*words), done.append(name)))
    readings.compact(path)
    assert done == ["fsync", "replace", "fsync", "unlink"]
    assert len(list(path.parent.iterdir())) == 1


def test_few_lines_stay_lines_and_those_of_an_earlier_attempt_are_put_in_order_later(tmp_path: Path):
    run = RunDir(tmp_path / "a [run] with 'odd' name*")
    run.path.mkdir()
    for attempt, number in ((1, 400), (2, 10)):
        with ReadingWriter(run.node_readings(0, attempt)) as writer:
            writer.write(lines(number))
    assert sampler._left_over(run, 0, 2) == [run.node_readings(0, 1)]
    for path in (run.node_readings(0, 1), run.node_readings(0, 2)):
        readings.compact(path)
    assert sorted(path.name for path in run.readings.iterdir()) == ["node0-attempt1.parquet", "node0-attempt2.jsonl"]
    assert len(rows(run)) == 3 * 410 and sampler._left_over(run, 0, 2) == []


def test_where_nothing_was_read_there_is_no_view(tmp_path: Path):
    assert readings.view(tmp_path / "readings") is None


@settings(deadline=None)
@given(st.floats(1e9, 4e9), st.sampled_from([0.01, 0.05, 0.2, 1.0, 10.0]))
def test_readings_are_due_at_whole_parts_of_a_second(now: float, interval: float):
    pause = sampler._pause(now, interval)
    assert interval / 2 < pause <= 1.5 * interval
    assert (now + pause) / interval == pytest.approx(round((now + pause) / interval), abs=1e-3 / interval)


def test_children_are_the_ranks_own_and_their_time_stays_when_they_end():
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); input()"
    burner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    process = Process(burner.pid)
    try:
        until(lambda: process.read()["cpu_ms"] > 300, 60)
        until(lambda: not psutil.Process(burner.pid).children(), 60)
        assert process.read()["cpu_ms"] > 300 and process.alive()
    finally:
        burner.kill()
    until(lambda: not process.alive(), 10)  # a zombie is not alive
    burner.wait()
    assert not process.alive() and process.read() == {}


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


KERNEL = {
    "proc/stat": "cpu  100 20 30 9999 7 4 6 0 0 0\ncpu0 1 1 1 1 1 1 1 0 0 0\n",
    "proc/meminfo": "MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:   2048 kB\n",
    "proc/net/dev": "Inter-| Receive\n face |bytes\n"
    + "".join(f" {name}: {received} 0 0 0 0 0 0 0 {sent} 0 0 0 0 0 0 0\n" for name, received, sent in
              (("lo", 999999, 999999), ("bond0", 6144, 4096), ("hsn0", 4096, 1024), ("hsn1", 2048, 3072))),
    "sys/class/net/lo/mtu": "", "sys/class/net/bond0/mtu": "",
    "sys/class/net/hsn0/device/id": "", "sys/class/net/hsn1/device/id": "",
    "sys/class/infiniband/mlx5_0/ports/1/counters/port_xmit_data": "1024\n",
    "sys/class/infiniband/mlx5_0/ports/1/counters/port_rcv_data": "2048\n",
    "sys/class/powercap/intel-rapl:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl:0/energy_uj": "900000\n",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "1000000\n",
    "sys/class/powercap/intel-rapl:0:0/name": "core\n",
}  # fmt: skip


def test_what_the_kernel_tells_of_a_node(tmp_path: Path):
    host = Host(tree(tmp_path, KERNEL))
    tick = 1000 // os.sysconf("SC_CLK_TCK")
    assert host.read() == {
        "host_cpu_ms": 160 * tick, "host_available_bytes": 2 << 20, "network_tx_kib": 4, "network_rx_kib": 6,
        "infiniband_tx_kib": 4, "infiniband_rx_kib": 8, "package_energy_mj": 900,
    }  # fmt: skip
    assert host.lacks == {"dram_energy_mj": "no RAPL"}
    (tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj").write_text("100000\n")
    assert host.read()["package_energy_mj"] == 1100  # it went round


def test_what_it_does_not_tell_is_absent_with_the_reason(tmp_path: Path):
    files = {name: text for name, text in KERNEL.items() if "infiniband" not in name and "energy_uj" not in name}
    host = Host(tree(tmp_path, files))
    assert set(host.read()) == {"host_cpu_ms", "host_available_bytes", "network_tx_kib", "network_rx_kib"}
    assert host.lacks == {
        "package_energy_mj": "No such file or directory", "dram_energy_mj": "no RAPL",
        "infiniband_tx_kib": "no InfiniBand", "infiniband_rx_kib": "no InfiniBand",
    }  # fmt: skip


def test_a_file_of_the_kernel_that_cannot_be_read_costs_no_other(tmp_path: Path):
    host = Host(tree(tmp_path, KERNEL))
    (tmp_path / "sys/class/infiniband/mlx5_0/ports/1/counters/port_rcv_data").write_text("")  # the link went down
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\n")
    assert set(host.read()) == {
        "host_cpu_ms",
        "network_tx_kib",
        "network_rx_kib",
        "infiniband_tx_kib",
        "package_energy_mj",
    }


def test_the_sampler_imports_nothing_heavy():
    code = "import sys, profiling.telemetry.sampler; print(sorted({'numpy', 'duckdb', 'pynvml', 'tensorflow', 'psutil'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout) == []


def test_the_table_of_columns_in_the_docs_is_that_of_the_code():
    text = (ROOT / "docs/readings.md").read_text()
    for field in READING:
        kind = {int: "integer", str: "text"}[field.type]
        assert f"| `{field.name}` | {kind} | {field.unit} | {field.meaning} |\n" in text
