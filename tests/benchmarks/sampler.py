"""What reading eight GPUs costs, beside two tools that do it too:   python tests/benchmarks/sampler.py [PEERS_PYTHON] [SECONDS] [REPEATS]

All read the same emulated driver (tests/launch/fake_nvml.c), which answers at once: so this is the cost of the tools, to which
a real driver adds its own, which grows with the number of calls. Compared are

- ours: ``profiling.telemetry.sampler`` as a run starts it, a process of its own, with eight ranks to look after;
- nvitop's ``ResourceMetricCollector``, which averages in a thread of the process that is measured;
- zeus' ``PowerMonitor``, which reads the power only, in a process of its own: its readings are counted by its period, and its
  look-ups of functions of the driver are not seen.

CPU time a reading is user and system time of all processes of a tool at 1 Hz, after its first two readings, over their number.
Interference is by how much longer a pure Python loop takes on a core that it shares with the tool at 10 Hz; with and without take
turns; it needs a machine that does nothing else. The peers are not in this project's environment; PEERS_PYTHON is the interpreter of one made by

    python -m venv peers && peers/bin/pip install nvitop==1.7.2 zeus-ml==0.11.0.post1 psutil==7.2.2
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "launch")]

from nvml import cards  # noqa: E402

from launch.record.files import read_lines  # noqa: E402
from launch.record.rundir import RunDir  # noqa: E402

GPUS = [f"GPU-{i:08x}-1111-2222-3333-444455556666" for i in range(8)]
WORK = "def work():\n    began = time.perf_counter()\n    for _ in range(60): sum(range(300_000))\n    return time.perf_counter() - began\n"

# Each prints the CPU time of itself and its children, the readings made meanwhile, its memory, and the times of the loop.
NVITOP = """
from nvitop import Device, ResourceMetricCollector
collector = ResourceMetricCollector(Device.all(), interval=interval)
count = 0
def on_collect(metrics):
    global count
    count += 1
    return not over
collector.daemonize(on_collect, interval)
def readings(): return count
"""
ZEUS = """
from zeus.monitor import PowerMonitor
if __name__ == "__main__":
    monitor = PowerMonitor(update_period=interval)
    while monitor.get_power() is None: time.sleep(0.1)
    began_at = time.time()
def readings(): return int((time.time() - began_at) / interval)
"""
PEER = """
import json, os, sys, time
import psutil, pynvml
interval, seconds, over, looks = float(sys.argv[1]), float(sys.argv[2]), False, 0
real = pynvml._nvmlGetFunctionPointer
def counted(name):
    global looks
    looks += 1
    return real(name)
pynvml._nvmlGetFunctionPointer = counted
{WORK}
{TOOL}
def cpu():
    me = psutil.Process()
    times = [process.cpu_times() for process in [me, *me.children(recursive=True)]]
    return sum(t.user + t.system for t in times)
if __name__ == "__main__":
    while readings() < 2: time.sleep(0.05)
    starting, first, before = cpu(), readings(), looks
    if seconds:
        time.sleep(seconds)
        used, made, looked = cpu() - starting, readings() - first, looks - before
        me = psutil.Process()
        memory = sum(process.memory_info().rss for process in [me, *me.children(recursive=True)])
        print(json.dumps(dict(start=starting, cpu=used, readings=made, rss=memory, looks=looked / max(made, 1))), flush=True)
    else:
        print(json.dumps(work()), flush=True)
    over = True
    for child in psutil.Process().children(recursive=True): child.kill()
    os._exit(0)
"""
ALONE = f"import json, time\n{WORK}\nprint(json.dumps(work()))"
LOOKS = """
import json, time, pynvml
from profiling.telemetry import nvml
looks, real = 0, pynvml._nvmlGetFunctionPointer
def counted(name):
    global looks
    looks += 1
    return real(name)
cards, _ = nvml.open_cards(json.loads(__import__("os").environ["GPUS"]))
for card in cards: card.read()
time.sleep(0.2)  # a card tells of its activity every tenth of a second
pynvml._nvmlGetFunctionPointer = counted
for card in cards: card.read()
print(looks)
"""


def environment() -> dict[str, str]:
    """Eight emulated GPUs."""
    return os.environ | cards(*GPUS) | {"PYTHONPATH": str(ROOT), "GPUS": json.dumps(GPUS)}


class Ours:
    """Our sampler with eight ranks that sleep."""

    def __init__(self, folder: str, hz: float, number: int) -> None:
        self.run = RunDir(Path(folder) / f"run{number}")
        self.run.path.mkdir()
        self.run.readings.mkdir()
        self._ranks = [subprocess.Popen(["sleep", "600"]) for _ in GPUS]
        ranks = [{"rank": i, "pid": rank.pid, "gpus": [gpu]} for i, (rank, gpu) in enumerate(zip(self._ranks, GPUS))]
        words = [
            sys.executable,
            "-P",
            "-m",
            "profiling.telemetry.sampler",
            str(self.run.path),
            "0",
            "1",
            str(hz),
            json.dumps(ranks),
        ]
        self._sampler = subprocess.Popen(words, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        while len(self.hosts()) < 2:
            time.sleep(0.05)

    def hosts(self) -> list[dict]:
        """The readings of the node."""
        return [line for line in read_lines(self.run.node_readings(0, 1)) if "sampler_cpu_ms" in line]

    def memory(self) -> int:
        """Resident, bytes."""
        return int(Path(f"/proc/{self._sampler.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        """End the ranks, and so the sampler."""
        for rank in self._ranks:
            rank.kill()
            rank.wait()
        assert self._sampler.wait(60) == 0


def peer(python: str, tool: str, interval: float, seconds: float) -> dict | float:
    """What a peer's process says of itself."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:  # zeus starts processes that import it
        file.write(PEER.replace("{WORK}", WORK).replace("{TOOL}", tool))
        file.flush()
        words = [python, file.name, str(interval), str(seconds)]
        done = subprocess.run(
            words, env=environment(), check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
    return json.loads(done.stdout.splitlines()[-1])


def ours_alone(folder: str, hz: float, seconds: float) -> dict:
    """The same of our sampler."""
    ours = Ours(folder, hz, 0)
    time.sleep(seconds)
    found = ours.hosts()[1:]
    memory = ours.memory()
    ours.end()
    looks = int(
        subprocess.run(
            [sys.executable, "-c", LOOKS], env=environment(), check=True, capture_output=True, text=True
        ).stdout
    )
    used = (found[-1]["sampler_cpu_ms"] - found[0]["sampler_cpu_ms"]) / 1000
    return {
        "start": found[0]["sampler_cpu_ms"] / 1000,
        "cpu": used,
        "readings": len(found) - 1,
        "rss": memory,
        "looks": looks,
    }


def interference(folder: str, python: str | None, repeats: int) -> dict[str, list[float]]:
    """Times of the loop beside each tool at 10 Hz, all on one core, in turns."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    times: dict[str, list[float]] = {"alone": [], "ours": [], "nvitop": [], "zeus": []}

    def alone() -> float:
        return json.loads(
            subprocess.run([sys.executable, "-c", ALONE], check=True, capture_output=True, text=True).stdout
        )

    for number in range(1, repeats + 1):
        times["alone"].append(alone())
        ours = Ours(folder, 10, number)
        times["ours"].append(alone())
        ours.end()
        if python:
            times["nvitop"].append(peer(python, NVITOP, 0.1, 0))
            times["zeus"].append(peer(python, ZEUS, 0.1, 0))
    return times


def main(python: str | None, seconds: float, repeats: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        found = {"ours": ours_alone(folder, 1, seconds)}
        if python:
            found |= {name: peer(python, tool, 1.0, seconds) for name, tool in (("nvitop", NVITOP), ("zeus", ZEUS))}
        print(
            f"{'':8} {'start, CPU s':>12} {'a reading, CPU ms':>18} {'of a core at 1 Hz':>18} {'memory, MiB':>12} {'look-ups':>9}"
        )
        for name, one in found.items():
            each = 1000 * one["cpu"] / one["readings"]
            print(
                f"{name:8} {one['start']:12.2f} {each:18.2f} {each / 1000:18.3%} {one['rss'] / 2**20:12.0f} {one['looks']:9.0f}"
                f"   ({one['readings']} readings of 8 GPUs)"
            )
        times = interference(folder, python, repeats)
        plain = statistics.median(times["alone"])
        print("\na loop on the same core, tool at 10 Hz:")
        for name, values in times.items():
            if values:
                low, median, high = (value / plain for value in statistics.quantiles(values, n=4))
                print(f"{name:8} {median:6.3f} times as long as alone, quartiles {low:.3f} - {high:.3f}")


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else None,
        float(sys.argv[2]) if len(sys.argv) > 2 else 20,
        int(sys.argv[3]) if len(sys.argv) > 3 else 9,
    )
