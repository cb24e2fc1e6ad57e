"""The columns of a reading, and the JSON lines that a sampler writes."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from profiling.telemetry.records import Field

READING = (
    Field("time_ms", int, "ms", "Unix time; the same for all that a node reads at once"),
    Field("clock_set_ms", int, "ms", "by how much the node's clock was set forward since its sampler began"),
    Field("node", int, "", "index of the node within the run"),
    Field("attempt", int, "", "start of the run, counted from 1"),
    Field(
        "rank",
        int,
        "",
        "whose process and GPU it is; absent where it is the node, or another GPU than the first of a rank",
    ),
    Field("device", str, "", "UUID of the GPU; absent where there is none"),
    Field("gpu_utilization", int, "%", "part of the last sample period (1/6 to 1 s) in which a kernel ran"),
    Field("memory_utilization", int, "%", "part of that period in which the GPU's memory was read or written"),
    Field(
        "sm_activity", int, "per mille", "part of its multiprocessors that were busy, since the reading before (GPM)"
    ),
    Field("sm_occupancy", int, "per mille", "warps on them, of those that would fit; likewise"),
    Field("tensor_activity", int, "per mille", "part of the time in which tensor cores of any kind worked; likewise"),
    Field("dram_activity", int, "per mille", "part of the greatest bandwidth of its memory; likewise"),
    Field("memory_bytes", int, "bytes", "GPU memory in use, what the driver keeps included"),
    Field("power_mw", int, "mW", "of the GPU, at this instant"),
    Field("power_average_mw", int, "mW", "of the GPU, over the last second"),
    Field(
        "power_usage_mw",
        int,
        "mW",
        "where the card has neither: at this instant on GA100 and older, else as the average",
    ),
    Field("module_power_mw", int, "mW", "of its module, the processor included (GH200), over the last second"),
    Field("energy_mj", int, "mJ", "counter of the GPU (Volta and newer)"),
    Field("integrated_energy_mj", int, "mJ", "where the card has no counter: its power, integrated between readings"),
    Field("temperature_c", int, "degrees Celsius", "of the GPU"),
    Field("memory_temperature_c", int, "degrees Celsius", "of its memory"),
    Field("sm_clock_mhz", int, "MHz", "of its multiprocessors"),
    Field("memory_clock_mhz", int, "MHz", "of its memory"),
    Field("throttle_reasons", int, "", "why clocks are lowered now: bits nvmlClocksEventReason* of nvml.h"),
    Field("throttled_power_ms", int, "ms", "counter: time of clocks lowered to hold the power limit"),
    Field("throttled_thermal_ms", int, "ms", "counter: to stay below a temperature"),
    Field("throttled_sync_boost_ms", int, "ms", "counter: to stay with the other GPUs of a group"),
    Field("throttled_board_limit_ms", int, "ms", "counter: for the board's limits"),
    Field("throttled_reliability_ms", int, "ms", "counter: for the limits of voltage"),
    Field(
        "pcie_tx_mib",
        int,
        "MiB",
        "counter: sent over PCIe; of 32 bits in bytes, so less than is true above 4 GiB a reading",
    ),
    Field("pcie_rx_mib", int, "MiB", "counter: received over PCIe; likewise"),
    Field("nvlink_tx_mib", int, "MiB", "counter: data sent over all NVLinks"),
    Field("nvlink_rx_mib", int, "MiB", "counter: data received over all NVLinks"),
    Field(
        "gpm_pcie_tx_mib_per_s",
        int,
        "MiB/s",
        "sent over PCIe since the reading before (GPM), where there is no counter",
    ),
    Field("gpm_pcie_rx_mib_per_s", int, "MiB/s", "received over PCIe; likewise"),
    Field("gpm_nvlink_tx_mib_per_s", int, "MiB/s", "sent over all NVLinks; likewise"),
    Field("gpm_nvlink_rx_mib_per_s", int, "MiB/s", "received over all NVLinks; likewise"),
    Field("ecc_corrected", int, "", "counter: memory errors that were corrected, since the driver was loaded"),
    Field("ecc_uncorrected", int, "", "counter: memory errors that were not"),
    Field("cpu_ms", int, "ms", "counter: time of cores that the rank and its children have used"),
    Field("rss_bytes", int, "bytes", "resident memory of the rank and its children"),
    Field("host_cpu_ms", int, "ms", "counter: time of cores that all processes of the node have used"),
    Field("host_available_bytes", int, "bytes", "memory of the node that can still be had"),
    Field("network_tx_kib", int, "KiB", "counter: sent over the node's network interfaces"),
    Field("network_rx_kib", int, "KiB", "counter: received over them"),
    Field("infiniband_tx_kib", int, "KiB", "counter: sent over its InfiniBand ports, RDMA included"),
    Field("infiniband_rx_kib", int, "KiB", "counter: received over them"),
    Field("package_energy_mj", int, "mJ", "counter: of the processors (RAPL)"),
    Field("dram_energy_mj", int, "mJ", "counter: of the memory (RAPL)"),
    Field("sampler_cpu_ms", int, "ms", "counter: time of cores that reading itself has used"),
    Field("sampling_us", int, "us", "how long the node's last reading took"),
)
"""Every column of a reading, in its order. All but time_ms, node and attempt may be absent; absent is never 0."""


class ReadingWriter:
    """Appends readings as whole lines, at most once a second.

    Parameters
    ----------
    path : Path
        File, created with its folder if absent.
    """

    INTERVAL = 1.0  # seconds

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        self._lines: list[str] = []
        self._flushed = time.monotonic()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Record the readings of one moment."""
        self._lines += (json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        if time.monotonic() - self._flushed >= self.INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Hand the waiting lines to the operating system."""
        data = "".join(self._lines).encode()
        self._lines.clear()
        self._flushed = time.monotonic()
        while data:  # a write is cut short only by a full disk, and then the next one raises
            data = data[os.write(self._descriptor, data) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.flush()
        os.close(self._descriptor)
