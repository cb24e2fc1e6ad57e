"""What NVML reports about an NVIDIA card: each field that the card has, and for each other field why not."""

from collections.abc import Iterator, Sequence
from typing import Any

import pynvml
from pynvml import NVMLError

from launch import gpus
from profiling.telemetry import plausible
from profiling.telemetry.counters import Energy, Sums
from profiling.telemetry.gpm import NAME as GPM
from profiling.telemetry.gpm import Gpm

_ALL_LINKS = 2**32 - 1  # scope of an NVLink counter: the sum over the card's links (nvml.h, nvmlFieldValue_t)

# Asked for in one call: our name -> (NVML's field, its scope, how many of its units make one of ours). Of the
# counters of lowered clocks only the old ones are here: NVML renumbered the newer ones in CUDA 13.
_FIELDS = {
    "power_mw": (pynvml.NVML_FI_DEV_POWER_INSTANT, pynvml.NVML_POWER_SCOPE_GPU, 1),
    "power_average_mw": (pynvml.NVML_FI_DEV_POWER_AVERAGE, pynvml.NVML_POWER_SCOPE_GPU, 1),
    "module_power_mw": (pynvml.NVML_FI_DEV_POWER_AVERAGE, pynvml.NVML_POWER_SCOPE_MODULE, 1),
    "memory_temperature_c": (pynvml.NVML_FI_DEV_MEMORY_TEMP, 0, 1),
    "energy_mj": (pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, 0, 1),
    "throttled_power_ms": (pynvml.NVML_FI_DEV_PERF_POLICY_POWER, 0, 10**6),
    "throttled_thermal_ms": (pynvml.NVML_FI_DEV_PERF_POLICY_THERMAL, 0, 10**6),
    "throttled_sync_boost_ms": (pynvml.NVML_FI_DEV_PERF_POLICY_SYNC_BOOST, 0, 10**6),
    "throttled_board_limit_ms": (pynvml.NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT, 0, 10**6),
    "throttled_reliability_ms": (pynvml.NVML_FI_DEV_PERF_POLICY_RELIABILITY, 0, 10**6),
    "pcie_tx_mib": (pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES, 0, 2**20),
    "pcie_rx_mib": (pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES, 0, 2**20),
    "nvlink_tx_mib": (pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, _ALL_LINKS, 2**10),
    "nvlink_rx_mib": (pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, _ALL_LINKS, 2**10),
    "ecc_corrected": (pynvml.NVML_FI_DEV_ECC_SBE_VOL_TOTAL, 0, 1),
    "ecc_uncorrected": (pynvml.NVML_FI_DEV_ECC_DBE_VOL_TOTAL, 0, 1),
}
_LEVELS = ("power_mw", "power_average_mw", "module_power_mw", "memory_temperature_c")  # the others are counters
_OF_FEW = ("module_power_mw",)  # only on a module with a processor; that other GPUs lack it is not noted


def _utilization(handle: Any) -> tuple[int, ...]:
    rates: Any = pynvml.nvmlDeviceGetUtilizationRates(handle)
    return rates.gpu, rates.memory


def _memory(handle: Any) -> tuple[int, ...]:
    memory: Any = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return (memory.used if memory.used <= memory.total else -1,)


def _reasons(handle: Any) -> tuple[int, ...]:
    try:
        return (pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle),)
    except NVMLError as error:
        if _code(error) != pynvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            raise
        return (pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),)  # the name before driver 535


# Fields with separate functions. Lists of processes are left out: at 4.5 ms they cost more than all of this.
_CALLS = {
    ("gpu_utilization", "memory_utilization"): _utilization,
    ("memory_bytes",): _memory,
    ("temperature_c",): lambda handle: (pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),),
    ("sm_clock_mhz",): lambda handle: (pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),),
    ("memory_clock_mhz",): lambda handle: (pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM),),
    ("throttle_reasons",): _reasons,
    ("power_usage_mw",): lambda handle: (pynvml.nvmlDeviceGetPowerUsage(handle),),
}

# Permanent answers: the card is not asked again.
_FOR_EVER = {
    pynvml.NVML_ERROR_INVALID_ARGUMENT,  # a field that is newer than the driver
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_NO_PERMISSION,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_DEPRECATED,
}
_INSTANCE = "MIG-"  # prefix of the UUIDs of instances
_MEMBER = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")  # members of the union, by nvmlValueType_t


class Card:
    """A card, or an instance (MIG) of one.

    Parameters
    ----------
    device : str
        UUID of the card or instance.
    gpm : bool
        Whether to read the activity that the card itself reports (GPM), if it does.

    Attributes
    ----------
    codes : dict of str to int
        NVML's return code for each field that was absent from the last reading, or is never asked for again;
        `plausible.IMPOSSIBLE` if the value cannot be. The code of ``gpm`` stands for all that GPM would report.

    Raises
    ------
    NVMLError
        If there is no such card.
    """

    def __init__(self, device: str, gpm: bool = True) -> None:
        self.device = device
        self.codes: dict[str, int] = {}
        self.lost = False  # fell off the bus: some drivers hang when such a card is queried
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(device)
        try:
            self.name = pynvml.nvmlDeviceGetName(self._handle)
        except (NVMLError, UnicodeDecodeError) as error:
            self.name = f"NVIDIA GPU, name not readable: {gpus.reason(error)}"
        self._fields, self._calls = dict(_FIELDS), dict(_CALLS)
        self._sums, self._energy = Sums(), Energy()
        self._gpm = Gpm(self._handle, device.startswith(_INSTANCE)) if gpm else None

    def read(self) -> dict[str, int]:
        """Return one reading, named as in `profiling.telemetry.readings`. What the card does not report is absent."""
        values: dict[str, int] = {}
        if self.lost:
            return values
        codes = {name: code for name, code in self.codes.items() if code in _FOR_EVER}
        for name, code, value in [*self._read_fields(), *self._read_calls(), *self._read_gpm()]:
            if code != pynvml.NVML_SUCCESS:
                codes[name] = code
            elif plausible.possible(name, value):
                values[name] = value
            else:
                codes[name] = plausible.IMPOSSIBLE
        # power_usage_mw is an average on some cards and of an instant on others, so the two that say which come first.
        if "power_mw" in values or "power_average_mw" in values:
            values.pop("power_usage_mw", None)
            self._calls.pop(("power_usage_mw",), None)
        if codes.get("energy_mj") in _FOR_EVER:
            self._energy.add(values)  # cards before Volta do not count it
        self._forget(codes)
        self.codes = {name: code for name, code in codes.items() if name not in _OF_FEW or code not in _FOR_EVER}
        self.lost = pynvml.NVML_ERROR_GPU_IS_LOST in codes.values()
        return values

    @staticmethod
    def error_text(code: int) -> str:
        """Return what NVML calls a return code."""
        return plausible.REASON if code == plausible.IMPOSSIBLE else gpus.reason(NVMLError(code))

    def _read_fields(self) -> Iterator[tuple[str, int, int]]:
        if not self._fields:
            return
        try:
            answers = pynvml.nvmlDeviceGetFieldValues(self._handle, [field[:2] for field in self._fields.values()])
        except Exception as error:
            yield from ((name, _code(error), 0) for name in self._fields)
            return
        for (name, (_, _, units)), answer in zip(self._fields.items(), answers):
            if answer.nvmlReturn != pynvml.NVML_SUCCESS or answer.valueType not in range(len(_MEMBER)):
                yield name, answer.nvmlReturn or pynvml.NVML_ERROR_UNKNOWN, 0
                continue
            value = int(getattr(answer.value, _MEMBER[answer.valueType]))
            if name not in _LEVELS and plausible.possible(name, value):
                value = self._sums.add(name, value, answer.valueType == pynvml.NVML_VALUE_TYPE_UNSIGNED_INT)
            if value is None or not plausible.possible(name, value):
                yield name, plausible.IMPOSSIBLE, 0
            else:
                yield name, pynvml.NVML_SUCCESS, value // units

    def _read_calls(self) -> Iterator[tuple[str, int, int]]:
        for names, call in self._calls.items():
            try:
                answers = call(self._handle)
            except Exception as error:
                yield from ((name, _code(error), 0) for name in names)
            else:
                yield from ((name, pynvml.NVML_SUCCESS, value) for name, value in zip(names, answers))

    def _read_gpm(self) -> Iterator[tuple[str, int, int]]:
        try:
            yield from self._gpm.read(self._fields) if self._gpm else ()
        except Exception as error:
            yield GPM, _code(error), 0

    def _forget(self, codes: dict[str, int]) -> None:
        never = {name for name, code in codes.items() if code in _FOR_EVER}
        self._fields = {name: field for name, field in self._fields.items() if name not in never}
        self._calls = {names: call for names, call in self._calls.items() if not never.issuperset(names)}
        if self._gpm:
            self._gpm.forget(never)
            if GPM in never:
                self._gpm.free()
                self._gpm = None


def _code(error: Exception) -> int:
    """Return NVML's return code. An error of the bindings must not cost the other fields: it becomes an unknown one."""
    return getattr(error, "value", pynvml.NVML_ERROR_UNKNOWN)


def open_cards(devices: Sequence[str]) -> tuple[list[Card], dict[str, str]]:
    """Open the cards of a node.

    Parameters
    ----------
    devices : sequence of str
        UUIDs that ranks hold.

    Returns
    -------
    list of Card
        The cards, and after each instance (MIG) the card that it is part of, once: only the card knows its power.
    dict of str to str
        Reason for each device that cannot be read.
    """
    cards: dict[str, Card] = {}
    missing = {}
    try:
        pynvml.nvmlInit()
    except NVMLError as error:
        return [], dict.fromkeys(devices, gpus.reason(error))
    for device in devices:
        try:
            cards.setdefault(device, Card(device))
        except NVMLError as error:
            missing[device] = gpus.reason(error)
            continue
        try:
            whole = _whole(device)
            if whole not in cards:
                cards[whole] = Card(whole, gpm=False)  # its instances report their activity
        except (NVMLError, UnicodeDecodeError) as error:
            missing[f"the card of {device}"] = gpus.reason(error)
    return list(cards.values()), missing


def _whole(device: str) -> str:
    """Return the UUID of the card that an instance is part of; for a card, its own."""
    if not device.startswith(_INSTANCE):
        return device
    handle = pynvml.nvmlDeviceGetHandleByUUID(device)
    return pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle))
