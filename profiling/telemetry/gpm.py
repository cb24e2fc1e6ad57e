"""What NVIDIA cards from Hopper on report about their own work, through NVML's GPM: means between samples."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import pynvml
from pynvml import NVMLError

NAME = "gpm"
"""Name under which it is noted why a card reports none of this."""
SHORTEST_S = 0.1
"""Shortest time between samples: NVIDIA asks for more than 100 ms, as the card renews its counters no more often."""


class _Metric(NamedTuple):
    number: int  # NVML's number of the metric
    factor: int  # from its unit (%, MiB/s) to that of our column
    counter: str = ""  # column of a counter, which says more: the metric is read only if the card lacks it


_METRICS = {
    "sm_activity": _Metric(pynvml.NVML_GPM_METRIC_SM_UTIL, 10),
    "sm_occupancy": _Metric(pynvml.NVML_GPM_METRIC_SM_OCCUPANCY, 10),
    "tensor_activity": _Metric(pynvml.NVML_GPM_METRIC_ANY_TENSOR_UTIL, 10),
    "dram_activity": _Metric(pynvml.NVML_GPM_METRIC_DRAM_BW_UTIL, 10),
    "gpm_pcie_tx_mib_per_s": _Metric(pynvml.NVML_GPM_METRIC_PCIE_TX_PER_SEC, 1, "pcie_tx_mib"),
    "gpm_pcie_rx_mib_per_s": _Metric(pynvml.NVML_GPM_METRIC_PCIE_RX_PER_SEC, 1, "pcie_rx_mib"),
    "gpm_nvlink_tx_mib_per_s": _Metric(pynvml.NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC, 1, "nvlink_tx_mib"),
    "gpm_nvlink_rx_mib_per_s": _Metric(pynvml.NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC, 1, "nvlink_rx_mib"),
}


class Gpm:
    """The samples of a card, or of an instance (MIG) of one.

    Parameters
    ----------
    handle : object
        NVML's handle of the card or the instance.
    is_instance : bool
        Whether it is an instance. NVML samples the GPU instance: all of it, if several compute instances divide it.
    """

    def __init__(self, handle: Any, is_instance: bool) -> None:
        self._handle, self._is_instance = handle, is_instance
        self._take: Callable[[Any], object] | None = None
        self._metrics = dict(_METRICS)
        self._samples: list[Any] = []  # two in turn: the last one, and that into which the next is taken
        self._taken = -math.inf

    def read(self, counted: Collection[str]) -> Iterator[tuple[str, int, int]]:
        """Yield column, NVML's return code and value of each metric since the previous sample; at the first, nothing.

        Parameters
        ----------
        counted : collection of str
            Columns of counters that the card has.

        Raises
        ------
        NVMLError
            If the card has no GPM, or there is no sample now. The previous sample stays: the next is compared with it.
        """
        now = time.monotonic()
        if now - self._taken < SHORTEST_S:
            return
        take = self._take or self._open()
        before, sample = self._samples
        take(sample)
        first, self._taken = self._taken == -math.inf, now
        self._samples.reverse()
        if not first:
            yield from self._between(before, sample, counted)

    def forget(self, names: Collection[str]) -> None:
        """Stop asking for metrics that this card never reports."""
        self._metrics = {name: metric for name, metric in self._metrics.items() if name not in names}

    def free(self) -> None:
        """Free the samples. Otherwise they last as long as the process, as they should for a card in use."""
        for sample in self._samples:
            with contextlib.suppress(NVMLError):
                pynvml.nvmlGpmSampleFree(sample)
        self._samples, self._take = [], None

    def _open(self) -> Callable[[Any], object]:
        card: Any = self._handle
        take = functools.partial(pynvml.nvmlGpmSampleGet, card)
        if self._is_instance:
            card = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self._handle)
            number: Any = pynvml.nvmlDeviceGetGpuInstanceId(self._handle)
            take = functools.partial(pynvml.nvmlGpmMigSampleGet, card, number)
        if not pynvml.nvmlGpmQueryDeviceSupport(card).isSupportedDevice:
            raise NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        while len(self._samples) < 2:
            self._samples.append(pynvml.nvmlGpmSampleAlloc())
        self._take = take
        return take

    def _between(self, before: Any, after: Any, counted: Collection[str]) -> Iterator[tuple[str, int, int]]:
        metrics = {name: metric for name, metric in self._metrics.items() if metric.counter not in counted}
        asked: Any = pynvml.c_nvmlGpmMetricsGet_t()
        asked.version, asked.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, len(metrics)
        asked.sample1, asked.sample2 = before, after
        for place, metric in enumerate(metrics.values()):
            asked.metrics[place].metricId = metric.number
        pynvml.nvmlGpmMetricsGet(asked)
        for (name, metric), told in zip(metrics.items(), asked.metrics):
            value = told.value * metric.factor
            yield name, told.nvmlReturn, round(value) if math.isfinite(value) else -1  # -1 is an impossible value
