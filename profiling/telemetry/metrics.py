"""The numbers that are computed from the columns of the readings."""

from typing import NamedTuple

# Reasons for lowered clocks that nobody chose: power cap, hardware slowdown, sync boost, heat in software and hardware,
# power brake (nvml.h, nvmlClocksEventReason*). Idling and clocks that were set are not among them.
_LOWERED = 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80


class Metric(NamedTuple):
    """A number computed from a column of the readings."""

    name: str
    kind: str  # mean, peak, least, deviation, count, time of a level; growth of a counter (total), or per s (rate)
    expression: str  # SQL expression of columns
    factor: float  # from the unit of the expression to that of the number
    unit: str


METRICS = (
    Metric("gpu_utilization", "mean", "gpu_utilization", 1e-2, ""),
    Metric("memory_utilization", "mean", "memory_utilization", 1e-2, ""),
    Metric("sm_activity", "mean", "sm_activity", 1e-3, ""),
    Metric("sm_occupancy", "mean", "sm_occupancy", 1e-3, ""),
    Metric("tensor_activity", "mean", "tensor_activity", 1e-3, ""),
    Metric("dram_activity", "mean", "dram_activity", 1e-3, ""),
    Metric("memory_peak_bytes", "peak", "memory_bytes", 1, "bytes"),
    Metric("energy_j", "total", "energy_mj", 1e-3, "J"),
    Metric("integrated_energy_j", "total", "integrated_energy_mj", 1e-3, "J"),
    Metric("module_power_w", "mean", "module_power_mw", 1e-3, "W"),
    Metric("temperature_peak_c", "peak", "temperature_c", 1, "degrees Celsius"),
    Metric("sm_clock_mhz", "mean", "sm_clock_mhz", 1, "MHz"),
    Metric("memory_clock_mhz", "mean", "memory_clock_mhz", 1, "MHz"),
    Metric("throttled_share", "mean", f"CAST(throttle_reasons & {_LOWERED} <> 0 AS DOUBLE)", 1, ""),
    Metric("throttled_power_s", "total", "throttled_power_ms", 1e-3, "s"),
    Metric("throttled_thermal_s", "total", "throttled_thermal_ms", 1e-3, "s"),
    Metric("throttled_sync_boost_s", "total", "throttled_sync_boost_ms", 1e-3, "s"),
    Metric("throttled_board_limit_s", "total", "throttled_board_limit_ms", 1e-3, "s"),
    Metric("throttled_reliability_s", "total", "throttled_reliability_ms", 1e-3, "s"),
    Metric("pcie_tx_mib_per_s", "rate", "pcie_tx_mib", 1, "MiB/s"),
    Metric("pcie_rx_mib_per_s", "rate", "pcie_rx_mib", 1, "MiB/s"),
    Metric("nvlink_tx_mib_per_s", "rate", "nvlink_tx_mib", 1, "MiB/s"),
    Metric("nvlink_rx_mib_per_s", "rate", "nvlink_rx_mib", 1, "MiB/s"),
    Metric("gpm_pcie_tx_mib_per_s", "mean", "gpm_pcie_tx_mib_per_s", 1, "MiB/s"),
    Metric("gpm_pcie_rx_mib_per_s", "mean", "gpm_pcie_rx_mib_per_s", 1, "MiB/s"),
    Metric("gpm_nvlink_tx_mib_per_s", "mean", "gpm_nvlink_tx_mib_per_s", 1, "MiB/s"),
    Metric("gpm_nvlink_rx_mib_per_s", "mean", "gpm_nvlink_rx_mib_per_s", 1, "MiB/s"),
    Metric("ecc_corrected", "total", "ecc_corrected", 1, ""),
    Metric("ecc_uncorrected", "total", "ecc_uncorrected", 1, ""),
    Metric("cpu_cores", "rate", "cpu_ms", 1e-3, "cores"),
    Metric("rss_peak_bytes", "peak", "rss_bytes", 1, "bytes"),
    Metric("host_cpu_cores", "rate", "host_cpu_ms", 1e-3, "cores"),
    Metric("host_available_least_bytes", "least", "host_available_bytes", 1, "bytes"),
    Metric("network_tx_mib_per_s", "rate", "network_tx_kib", 2**-10, "MiB/s"),
    Metric("network_rx_mib_per_s", "rate", "network_rx_kib", 2**-10, "MiB/s"),
    Metric("infiniband_tx_mib_per_s", "rate", "infiniband_tx_kib", 2**-10, "MiB/s"),
    Metric("infiniband_rx_mib_per_s", "rate", "infiniband_rx_kib", 2**-10, "MiB/s"),
    Metric("package_energy_j", "total", "package_energy_mj", 1e-3, "J"),
    Metric("dram_energy_j", "total", "dram_energy_mj", 1e-3, "J"),
    Metric("sampler_cores", "rate", "sampler_cpu_ms", 1e-3, "cores"),
    Metric("sampling_s", "mean", "sampling_us", 1e-6, "s"),
)
"""Every number of a `Usage`, in its order."""

POWER = "power_w"
"""Name of the mean power, which is computed from several metrics."""

_GAUGE = "coalesce(power_average_mw, power_usage_mw, power_mw)"
OF_POWER = (
    Metric("power_of_counted", "rate", "energy_mj", 1e-3, "W"),
    Metric("power_of_integrated", "rate", "integrated_energy_mj", 1e-3, "W"),
    Metric("power_of_average", "mean", "power_average_mw", 1e-3, "W"),
    Metric("power_of_usage", "mean", "power_usage_mw", 1e-3, "W"),
    Metric("power_of_instant", "mean", "power_mw", 1e-3, "W"),
    Metric("power_of_module", "mean", "module_power_mw", 1e-3, "W"),
    Metric("power_of_deviation", "deviation", _GAUGE, 1e-3, "W"),
    Metric("power_of_readings", "count", _GAUGE, 1, ""),
    Metric("power_of_seconds", "time", f"coalesce(energy_mj, integrated_energy_mj, {_GAUGE})", 1e-3, "s"),
)
"""The metrics from which the power is computed, each by its name without ``power_of_``."""
