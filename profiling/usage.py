"""What the readings of a run say of each of its GPUs, ranks and nodes over a span of time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from profiling import readings

# Reasons by which clocks are lowered against the will of who set them: power cap, hardware slowdown, sync boost, heat in
# software and hardware, power brake (nvml.h, nvmlClocksEventReason*). Idling and clocks that were set are none.
_LOWERED = 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80


class Metric(NamedTuple):
    """A number that is made of a column of the readings."""

    name: str
    kind: str  # mean or peak or least of a level, difference of a counter (total) or that a second (rate)
    expression: str  # of columns, in SQL
    unit: str


METRICS = (
    Metric("gpu_utilization", "mean", "gpu_utilization / 100", ""),
    Metric("memory_utilization", "mean", "memory_utilization / 100", ""),
    Metric("memory_peak_bytes", "peak", "memory_bytes", "bytes"),
    Metric("power_w", "mean", "coalesce(power_average_mw, power_usage_mw, power_mw) / 1000", "W"),
    Metric("energy_j", "total", "energy_mj / 1000", "J"),
    Metric("integrated_energy_j", "total", "integrated_energy_mj / 1000", "J"),
    Metric("temperature_peak_c", "peak", "temperature_c", "degrees Celsius"),
    Metric("sm_clock_mhz", "mean", "sm_clock_mhz", "MHz"),
    Metric("memory_clock_mhz", "mean", "memory_clock_mhz", "MHz"),
    Metric("throttled_share", "mean", f"CAST(throttle_reasons & {_LOWERED} <> 0 AS DOUBLE)", ""),
    Metric("throttled_power_s", "total", "throttled_power_ms / 1000", "s"),
    Metric("throttled_thermal_s", "total", "throttled_thermal_ms / 1000", "s"),
    Metric("throttled_sync_boost_s", "total", "throttled_sync_boost_ms / 1000", "s"),
    Metric("throttled_board_limit_s", "total", "throttled_board_limit_ms / 1000", "s"),
    Metric("throttled_reliability_s", "total", "throttled_reliability_ms / 1000", "s"),
    Metric("pcie_tx_mib_per_s", "rate", "pcie_tx_mib", "MiB/s"),
    Metric("pcie_rx_mib_per_s", "rate", "pcie_rx_mib", "MiB/s"),
    Metric("nvlink_tx_mib_per_s", "rate", "nvlink_tx_mib", "MiB/s"),
    Metric("nvlink_rx_mib_per_s", "rate", "nvlink_rx_mib", "MiB/s"),
    Metric("ecc_corrected", "total", "ecc_corrected", ""),
    Metric("ecc_uncorrected", "total", "ecc_uncorrected", ""),
    Metric("cpu_cores", "rate", "cpu_ms / 1000", "cores"),
    Metric("rss_peak_bytes", "peak", "rss_bytes", "bytes"),
    Metric("host_cpu_cores", "rate", "host_cpu_ms / 1000", "cores"),
    Metric("host_available_least_bytes", "least", "host_available_bytes", "bytes"),
    Metric("network_tx_mib_per_s", "rate", "network_tx_kib / 1024", "MiB/s"),
    Metric("network_rx_mib_per_s", "rate", "network_rx_kib / 1024", "MiB/s"),
    Metric("infiniband_tx_mib_per_s", "rate", "infiniband_tx_kib / 1024", "MiB/s"),
    Metric("infiniband_rx_mib_per_s", "rate", "infiniband_rx_kib / 1024", "MiB/s"),
    Metric("package_energy_j", "total", "package_energy_mj / 1000", "J"),
    Metric("dram_energy_j", "total", "dram_energy_mj / 1000", "J"),
    Metric("sampler_cores", "rate", "sampler_cpu_ms / 1000", "cores"),
    Metric("sampling_s", "mean", "sampling_us / 1e6", "s"),
)
"""Every number of a `Usage`, in its order."""

_INNER = {"mean": "sum({0}) AS {1}, count({0}) AS {1}_n", "peak": "max({0}) AS {1}", "least": "min({0}) AS {1}"}
_OUTER = {
    "mean": "sum({0}) / nullif(sum({0}_n), 0)",
    "peak": "max({0})",
    "least": "min({0})",
    "total": "sum({0})",
    "rate": "sum({0}) / nullif(sum(seconds), 0)",
}


class Usage(NamedTuple):
    """Of one GPU, rank or node: numbers by the names of `METRICS`; one that nobody has read is absent."""

    node: int
    rank: int | None
    device: str | None
    readings: int
    seconds: float  # from first to last reading of each attempt
    numbers: dict[str, float]


def usage(
    folder: Path, begin: float | None = None, end: float | None = None, ranks: Sequence[int] | None = None
) -> list[Usage]:
    """Sum up the readings of a run.

    Counters begin anew in each attempt, so differences are taken within attempts and added up.

    Parameters
    ----------
    folder : Path
        ``readings`` of the run.
    begin, end : float, optional
        The span, Unix seconds; all by default.
    ranks : sequence of int, optional
        Only these; by default all, the nodes and the GPUs of no one rank too.

    Returns
    -------
    list of Usage
        By node and rank; what is of a node (no rank, no device) after its ranks.
    """
    database = readings.view(folder)
    if database is None:
        return []
    inner = ", ".join(_INNER.get(m.kind, "max({0}) - min({0}) AS {1}").format(m.expression, m.name) for m in METRICS)
    outer = ", ".join(_OUTER[m.kind].format(m.name) for m in METRICS)
    conditions = ["true"]
    if begin is not None:
        conditions.append(f"time_ms >= {round(begin * 1000)}")
    if end is not None:
        conditions.append(f"time_ms <= {round(end * 1000)}")
    if ranks is not None:
        conditions.append(f"rank IN ({', '.join(map(str, ranks))})")
    query = f"""
        SELECT node, rank, device, sum(n), sum(seconds), {outer} FROM (
            SELECT node, attempt, rank, device, count(*) AS n, (max(time_ms) - min(time_ms)) / 1000 AS seconds, {inner}
            FROM reading WHERE {" AND ".join(conditions)} GROUP BY node, attempt, rank, device)
        GROUP BY node, rank, device ORDER BY node, rank NULLS LAST, device NULLS LAST"""
    with database:
        return [_usage(*row) for row in database.execute(query).fetchall()]


def _usage(node: int, rank: int | None, device: str | None, count: int, seconds: float, *values: Any) -> Usage:
    numbers = {metric.name: float(value) for metric, value in zip(METRICS, values) if value is not None}
    return Usage(node, rank, device, int(count), float(seconds), numbers)
