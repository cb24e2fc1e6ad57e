"""What AMD SMI reports about an AMD card, under the names of `profiling.telemetry.readings`.

Its Python package, ``amdsmi``, comes with ROCm (/opt/rocm/share/amd_smi) and matches the library beside it. It is not
a dependency of this project, and is imported if a rank holds a GPU that NVIDIA's driver does not know. An MI250X is two
GPUs to its users; only one of them reports the power and energy of both.
"""

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

from profiling.telemetry import plausible
from profiling.telemetry.counters import Energy, Sums

_NOT_SUPPORTED, _NOT_IMPLEMENTED, _NO_SYMBOL, _NO_PERMISSION, _NO_DATA = 2, 3, 5, 10, 40  # amdsmi_status_t
_FOR_EVER = {_NOT_SUPPORTED, _NOT_IMPLEMENTED, _NO_SYMBOL, _NO_PERMISSION}  # not asked for again
_NONE = (None, "N/A", 0xFFFF, 0xFFFFFFFF, 2**64 - 1)  # how the bindings and the library write that there is no value


def _calls(smi: Any) -> dict[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """Return our names -> function that returns their values, in the units of the names.

    Lists of processes are left out, as for NVIDIA's cards. So is the status of violations, because the library itself
    waits between two samples for it.
    """

    def activity(handle: Any) -> tuple[Any, ...]:
        said = smi.amdsmi_get_gpu_activity(handle)
        return said["gfx_activity"], said["umc_activity"]

    def power(handle: Any) -> tuple[Any, ...]:
        said = smi.amdsmi_get_power_info(handle)  # W; 0 if the other half of an MI250X reports it
        return tuple(
            None if said[key] in (*_NONE, 0) else 1000 * said[key]
            for key in ("current_socket_power", "average_socket_power")
        )

    def energy(handle: Any) -> tuple[Any, ...]:
        said = smi.amdsmi_get_energy_count(handle)
        counted = said["energy_accumulator"]  # in units of some uJ
        return (None if counted in _NONE else round(counted * said["counter_resolution"] / 1000) or None,)

    def temperature(sensor: Any) -> Callable[[Any], tuple[Any, ...]]:
        def read(handle: Any) -> tuple[Any, ...]:
            said = smi.amdsmi_get_temp_metric(handle, sensor, smi.AmdSmiTemperatureMetric.CURRENT)
            return (said // 1000 if said > 1000 else said,)  # some releases report thousandths

        return read

    def clock(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
        def read(handle: Any) -> tuple[Any, ...]:
            said = smi.amdsmi_get_clock_info(handle, kind)
            return (said.get("clk", said.get("cur_clk")),)  # the latter before ROCm 6.1

        return read

    def errors(handle: Any) -> tuple[Any, ...]:
        said = smi.amdsmi_get_gpu_total_ecc_count(handle)
        return said["correctable_count"], said["uncorrectable_count"]

    return {
        ("gpu_utilization", "memory_utilization"): activity,
        ("memory_bytes",): lambda handle: (smi.amdsmi_get_gpu_memory_usage(handle, smi.AmdSmiMemoryType.VRAM),),
        ("power_mw", "power_average_mw"): power,
        ("energy_mj",): energy,
        ("temperature_c",): temperature(smi.AmdSmiTemperatureType.HOTSPOT),
        ("memory_temperature_c",): temperature(smi.AmdSmiTemperatureType.VRAM),
        ("sm_clock_mhz",): clock(smi.AmdSmiClkType.GFX),
        ("memory_clock_mhz",): clock(smi.AmdSmiClkType.MEM),
        ("ecc_corrected", "ecc_uncorrected"): errors,
    }


_COUNTERS = ("energy_mj", "ecc_corrected", "ecc_uncorrected")


class Card:
    """A card, or what AMD calls a compute die of one, with the interface of `profiling.telemetry.nvml.Card`.

    Parameters
    ----------
    smi : module
        Module ``amdsmi``, initialised.
    device : str
        Name of the GPU, as the rank gives it.
    handle
        Handle of the processor in ``amdsmi``.
    """

    def __init__(self, smi: Any, device: str, handle: Any) -> None:
        self.device, self._smi, self._handle = device, smi, handle
        self.codes: dict[str, int] = {}
        try:
            self.name = smi.amdsmi_get_gpu_asic_info(handle)["market_name"]
        except Exception:  # the bindings read a serial number, which a guest may not see, and differ between releases
            self.name = "AMD GPU"
        self._calls = _calls(smi)
        self._sums, self._energy = Sums(), Energy()

    def read(self) -> dict[str, int]:
        """Return one reading. What the card does not report is absent."""
        values: dict[str, int] = {}
        codes = {name: code for name, code in self.codes.items() if code in _FOR_EVER}
        for names, call in list(self._calls.items()):
            try:
                answers = call(self._handle)
            except self._smi.AmdSmiException as error:
                # Only the library's errors have a code; what its bindings cannot parse counts as no data.
                codes |= dict.fromkeys(names, getattr(error, "err_code", None) or _NO_DATA)
                continue
            except Exception:  # another release of the bindings, or data that they cannot parse
                codes |= dict.fromkeys(names, _NO_DATA)
                continue
            for name, value in zip(names, answers):
                if value in _NONE:
                    codes[name] = _NO_DATA
                    continue
                if name in _COUNTERS:
                    value = self._sums.add(name, value)
                if value is None or not plausible.possible(name, value):
                    codes[name] = plausible.IMPOSSIBLE
                else:
                    values[name] = value
        if codes.get("energy_mj") in _FOR_EVER:
            self._energy.add(values)
        self.codes = codes
        never = {name for name, code in codes.items() if code in _FOR_EVER}
        self._calls = {names: call for names, call in self._calls.items() if not never.issuperset(names)}
        return values

    def error_text(self, code: int) -> str:
        """Return what AMD SMI calls a return code."""
        if code == plausible.IMPOSSIBLE:
            return plausible.REASON
        try:
            return self._smi.AmdSmiLibraryException(code).get_error_info()
        except Exception as error:
            return f"code {code} ({type(error).__name__})"


def open_cards(devices: Sequence[str]) -> tuple[list[Card], dict[str, str]]:
    """Open the cards of a node.

    Parameters
    ----------
    devices : sequence of str
        GPUs of the ranks: "device 3", with HIP's number or a UUID, as in ROCR_VISIBLE_DEVICES.

    Returns
    -------
    list of Card
        Cards that can be read.
    dict of str to str
        Reason for each device that cannot be read.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints where it searched for its library
            import amdsmi as smi

        smi.amdsmi_init()
        handles = smi.amdsmi_get_processor_handles()
    except Exception as error:  # each missing part (library, symbol, driver) fails in another way
        return [], dict.fromkeys(devices, f"no AMD SMI ({type(error).__name__}: {error})")
    known: dict[str, Any] = {}
    for number, handle in enumerate(handles):
        with contextlib.suppress(
            smi.AmdSmiException, AttributeError
        ):  # releases before ROCm 6.4 do not report HIP's number
            told = smi.amdsmi_get_gpu_enumeration_info(handle)
            number = told["hip_id"] if told["hip_id"] != "N/A" else number
            known[told["hip_uuid"]] = handle
        known[f"device {number}"] = handle
    found = [Card(smi, device, known[device]) for device in devices if device in known]
    return found, {device: "AMD SMI knows no such GPU" for device in devices if device not in known}
