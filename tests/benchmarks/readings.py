"""Readings of 27,360 GPUs at 1 Hz for an hour: their size on disk, and how long summing them up takes:

    python tests/benchmarks/readings.py FOLDER [NODES] [PEERS_PYTHON]

FOLDER gets the files of 4,560 nodes of 6 GPUs (98.5 million readings of GPUs, and 16.4 million of nodes): those of twenty
nodes are made with noise of a size that real ones have, written as lines, and compacted as a sampler does it; the others are
these under other numbers. What is there already is used again. The sum is that of the verb summary, in a
process of its own on two cores. PEERS_PYTHON is an interpreter that has pandas and pyarrow: it sums up the same columns of the same
files, in turns with ours.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from profiling.telemetry import readings  # noqa: E402
from profiling.telemetry.reading_lines import ReadingWriter  # noqa: E402

GPUS, SECONDS, KINDS = 6, 3600, 20
BEGAN_MS = 1_763_900_000_000

SUM = """
import json, os, resource, sys, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
from pathlib import Path
from profiling.cli import overview
from profiling.telemetry.usage import POWER, usage
began = time.perf_counter()
wanted = {POWER, *overview._OF_GPU, *overview._OF_PROCESS, *overview._OF_HOST, *overview._OF_SAMPLER}
found = usage(Path(sys.argv[1]), names=wanted)
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([len(found), sum(one.readings for one in found), time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""

PANDAS = """
import json, os, resource, sys, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
import pandas
began = time.perf_counter()
means = ["gpu_utilization", "sm_clock_mhz", "held", "sampling_us"]
most = ["memory_bytes", "temperature_c", "rss_bytes"]
least = ["host_available_bytes"]
counters = ["energy_mj", "throttled_power_ms", "throttled_thermal_ms", "pcie_rx_mib", "nvlink_tx_mib", "ecc_uncorrected", "cpu_ms",
            "host_cpu_ms", "network_tx_kib", "sampler_cpu_ms", "time_ms"]
keys = ["node", "attempt", "rank"]
columns = [*keys, *means, *most, *least, *counters, "throttle_reasons"]
columns.remove("held")
table = pandas.read_parquet([sys.argv[1] + "/" + name for name in os.listdir(sys.argv[1]) if name.startswith("node")], columns=columns)
table["held"] = (table.throttle_reasons.fillna(0).astype("int64") & 252) != 0
groups = table.groupby(keys, dropna=False)
found = pandas.concat([groups[means].mean(), groups[most].max(), groups[least].min(), groups[counters].max() - groups[counters].min()], axis=1)
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([len(found), len(table), time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def rows(seed: int) -> list[dict]:
    """An hour of one busy node: columns that move, move as on a real card (power in mW, counters by rates with noise)."""
    noise = np.random.default_rng(seed)
    time_ms = BEGAN_MS + 1000 * np.arange(SECONDS) + np.abs(noise.normal(0.8, 0.4, SECONDS)).astype(int)
    made = []
    for gpu in range(GPUS):
        power = np.convolve(noise.normal(380, 25, SECONDS), [0.3, 0.4, 0.3], "same").clip(60, 420)
        capped = noise.random(SECONDS) < 0.4
        columns = {
            "time_ms": time_ms,
            "clock_set_ms": np.zeros(SECONDS),
            "gpu_utilization": noise.integers(90, 101, SECONDS),
            "memory_utilization": noise.integers(40, 70, SECONDS),
            "memory_bytes": np.where(np.arange(SECONDS) < 30, 10**9, 37 * 2**30),
            "power_mw": 1000 * (power + noise.normal(0, 15, SECONDS)),
            "power_average_mw": 1000 * power,
            "energy_mj": 10**9 + np.cumsum(1000 * power * noise.normal(1, 0.002, SECONDS)),
            "temperature_c": 60 + np.cumsum(noise.normal(0, 0.015, SECONDS)),
            "memory_temperature_c": 68 + noise.normal(0, 0.5, SECONDS),
            "sm_clock_mhz": np.where(capped, 1410 - 15 * noise.integers(1, 9, SECONDS), 1410),
            "memory_clock_mhz": np.full(SECONDS, 1215),
            "throttle_reasons": np.where(capped, 4, 0),
            "throttled_power_ms": np.cumsum(np.where(capped, noise.integers(0, 1000, SECONDS), 0)),
            **{
                f"throttled_{why}_ms": np.zeros(SECONDS)
                for why in ("thermal", "sync_boost", "board_limit", "reliability")
            },
            "pcie_tx_mib": np.cumsum(noise.normal(500, 25, SECONDS)),
            "pcie_rx_mib": np.cumsum(noise.normal(900, 45, SECONDS)),
            "nvlink_tx_mib": np.cumsum(noise.normal(60_000, 2000, SECONDS)),
            "nvlink_rx_mib": np.cumsum(noise.normal(60_000, 2000, SECONDS)),
            "ecc_corrected": np.zeros(SECONDS),
            "ecc_uncorrected": np.zeros(SECONDS),
            "cpu_ms": np.cumsum(10 * noise.integers(95, 110, SECONDS)),
            "rss_bytes": 6 * 2**30 + 4096 * np.cumsum(noise.integers(0, 500, SECONDS) * (noise.random(SECONDS) < 0.05)),
        }
        values = np.stack([np.asarray(column, np.int64) for column in columns.values()], axis=1).tolist()
        common = {"node": 0, "attempt": 1, "rank": gpu, "device": f"GPU-{seed:08x}-aaaa-bbbb-cccc-{gpu:012x}"}
        made += [common | dict(zip(columns, row)) for row in values]
    for second in range(SECONDS):
        made.append({"time_ms": int(time_ms[second]), "clock_set_ms": 0, "node": 0, "attempt": 1, "host_cpu_ms": 6500 * second + int(noise.integers(0, 200)),
                     "host_available_bytes": 2**39 + 4096 * int(noise.integers(0, 10**5)), "network_tx_kib": 300 * second, "network_rx_kib": 900 * second,
                     "sampler_cpu_ms": 2 * second, "sampling_us": int(noise.integers(900, 1500))})  # fmt: skip
    return made


def make(folder: Path, nodes: int) -> None:
    """Fill the folder."""
    import duckdb

    folder.mkdir(parents=True, exist_ok=True)
    patterns = []
    for kind in range(min(KINDS, nodes)):
        pattern = folder / f"pattern{kind}.parquet"
        if not pattern.exists():
            lines = folder / f"pattern{kind}.jsonl"
            with ReadingWriter(lines) as writer:
                writer.write(rows(kind))
            size, began = lines.stat().st_size, time.perf_counter()
            readings.compact(lines)
            print(
                f"an hour of one node: {size / 1e6:.1f} MB of lines, {pattern.stat().st_size / 1e6:.2f} MB of Parquet, made in {time.perf_counter() - began:.2f} s"
            )
        patterns.append(pattern)
    database = duckdb.connect(config={"threads": 2})
    for node in range(nodes):
        path = folder / f"node{node}-attempt1.parquet"
        if not path.exists():
            temporary = folder / ".making"
            database.execute(
                f"COPY (SELECT * REPLACE ({node} AS node, rank + {node * GPUS} AS rank) FROM '{patterns[node % KINDS]}') TO '{temporary}' ({readings.FORM})"
            )
            os.replace(temporary, path)


def main(folder: Path, nodes: int, peers: str | None) -> None:
    """Make, measure, print."""
    make(folder, nodes)
    size = sum((folder / f"node{node}-attempt1.parquet").stat().st_size for node in range(nodes))
    of_gpus = nodes * GPUS * SECONDS
    print(
        f"{nodes} nodes, {of_gpus / 1e6:.1f} million readings of GPUs: {size / 1e9:.2f} GB, {size / of_gpus:.1f} bytes each"
    )
    rivals = [("ours", sys.executable, SUM)] + ([("pandas", peers, PANDAS)] if peers else [])
    for name, python, program in 3 * rivals:
        env = os.environ | {"PYTHONPATH": str(ROOT) if name == "ours" else ""}
        done = subprocess.run([python, "-c", program, str(folder)], env=env, check=True, capture_output=True, text=True)
        groups, count, seconds, cpu, memory = json.loads(done.stdout)
        print(
            f"{name}, summed up: {count / 1e6:.1f} million readings of {groups} GPUs and nodes in {seconds:.1f} s ({cpu:.1f} s of CPU, {memory / 1e6:.2f} GB)",
            flush=True,
        )


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        int(sys.argv[2]) if len(sys.argv) > 2 else 4560,
        sys.argv[3] if len(sys.argv) > 3 else None,
    )
