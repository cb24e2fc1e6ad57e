"""Readings of cards: NVIDIA's own bindings over an emulated driver, in processes of their own."""

import pytest
from nvml import cards, said

from profiling.telemetry.reading_lines import READING

# NVML's return codes, and the fields of fake_nvml.c.
NOT_SUPPORTED, FUNCTION_NOT_FOUND, GPU_IS_LOST, UNKNOWN = 3, 13, 15, 999
THROTTLED_POWER, ENERGY, PCIE_TX, PCIE_RX, NVLINK_TX, NVLINK_RX, POWER_AVERAGE, POWER_INSTANT = (
    74, 83, 197, 198, 138, 139, 185, 186
)  # fmt: skip
UTILIZATION, MEMORY_USED, TEMPERATURE, SM_CLOCK, REASONS = 300, 302, 303, 304, 306


def test_a_card_tells_all_that_it_has_under_names_of_the_schema():
    code = """
(first, second), missing = nvml.open_cards(["GPU-0a", "GPU-1b"])
print(json.dumps([first.device, second.device, second.name, second.read(), second.codes, missing]))
"""
    first, second, name, values, codes, missing = said(cards("GPU-0a", "GPU-1b"), code)
    assert (first, second, name, missing, codes) == ("GPU-0a", "GPU-1b", "Emulated GPU", {}, {})
    assert set(values) <= {field.name for field in READING}
    assert values.pop("energy_mj") >= 5_000_000_000
    moving = {"pcie_tx_mib", "pcie_rx_mib", "nvlink_tx_mib", "nvlink_rx_mib"}
    assert moving <= set(values)
    assert {name: value for name, value in values.items() if name not in moving} == {
        "gpu_utilization": 97, "memory_utilization": 41, "memory_bytes": 6 << 30, "temperature_c": 58,
        "memory_temperature_c": 62, "sm_clock_mhz": 1410, "memory_clock_mhz": 1215, "power_mw": 310000,
        "power_average_mw": 300000, "ecc_corrected": 0, "ecc_uncorrected": 0, "throttle_reasons": 0,
        "throttled_power_ms": 0, "throttled_thermal_ms": 0, "throttled_sync_boost_ms": 0, "throttled_board_limit_ms": 0,
        "throttled_reliability_ms": 0,
    }  # fmt: skip


def test_units_and_links():
    code = """
(card,), _ = nvml.open_cards(["GPU-0a"])
for id, value in ((%d, 7_000_000_000), (%d, 5 << 20), (%d, 9 << 10), (%d, 4)): say(0, id, value)
print(json.dumps(card.read()))
"""
    values = said(cards("GPU-0a"), code % (THROTTLED_POWER, PCIE_TX, NVLINK_TX, REASONS))
    assert values["throttled_power_ms"] == 7000 and values["throttle_reasons"] == 4
    assert values["pcie_tx_mib"] == 5 and values["nvlink_tx_mib"] == 9  # NVML counts bytes, and KiB over all links


def test_what_a_card_lacks_is_absent_with_its_code_and_not_asked_for_again():
    code = """
(card,), _ = nvml.open_cards(["GPU-0a"])
for id in (%d, %d, %d): fake.fake_fail(0, id, 3)
first, codes = card.read(), dict(card.codes)
before = fake.fake_calls()
again = card.read()
print(json.dumps([first, again, codes, card.codes, fake.fake_calls() - before, card.error_text(3)]))
"""
    first, again, codes, still, calls, text = said(cards("GPU-0a"), code % (UTILIZATION, NVLINK_TX, NVLINK_RX))
    lacking = ("gpu_utilization", "memory_utilization", "nvlink_tx_mib", "nvlink_rx_mib")
    assert codes == still == dict.fromkeys(lacking, NOT_SUPPORTED)
    assert not set(lacking) & (set(first) | set(again)) and set(first) == set(again)
    assert calls == 6  # all fields at once; memory, temperature, two clocks, reasons; power is among the fields
    assert text == "Not Supported"


def test_an_error_in_between_leaves_a_gap_and_no_zero():
    code = """
(card,), _ = nvml.open_cards(["GPU-0a"])
said = [card.read()]
for code in (999, 0):
    for id in (%d, %d): fake.fake_fail(0, id, code)
    said += [card.read(), dict(card.codes)]
print(json.dumps(said))
"""
    before, during, codes, after, none = said(cards("GPU-0a"), code % (ENERGY, TEMPERATURE))
    assert codes == {"energy_mj": UNKNOWN, "temperature_c": UNKNOWN} and none == {}
    assert set(before) == set(after) == set(during) | {"energy_mj", "temperature_c"}
    assert "integrated_energy_mj" not in during  # the counter is there, and will say what was used meanwhile


def test_counters_that_go_round_or_begin_anew_go_on():
    code = """
(card,), _ = nvml.open_cards(["GPU-0a"])
said = []
for pcie, energy in ((2**32 - 2**20, 9_000), (2**20, 10_000), (2**20 - 1, 500), (3 << 20, 700)):
    say(0, %d, pcie); say(0, %d, energy)
    values = card.read()
    said.append([values["pcie_tx_mib"], values["energy_mj"]])
print(json.dumps(said))
"""
    counted = said(cards("GPU-0a"), code % (PCIE_TX, ENERGY))
    # of 32 bits: one MiB below its end, one beyond, almost once round, two more; of 64 bits: 500 since a reset
    assert counted == [[4095, 9_000], [4097, 10_000], [4097 + 4095, 10_500], [4097 + 4095 + 3, 10_700]]


def test_a_card_that_falls_off_the_bus_is_left_alone_and_the_other_read_on():
    code = """
both, _ = nvml.open_cards(["GPU-0a", "GPU-1b"])
[card.read() for card in both]
fake.fake_lose(0, 1)
values = [card.read() for card in both]
codes = both[0].codes
before = fake.fake_calls()
both[0].read()
asked = fake.fake_calls() - before
fake.fake_lose(0, 0)
print(json.dumps([values[0], sorted(set(codes.values())), "energy_mj" in codes, len(values[1]), both[0].lost, asked, both[0].read()]))
"""
    lost, codes, energy, other, marked, asked, later = said(cards("GPU-0a", "GPU-1b"), code)
    assert lost == later == {} and codes == [GPU_IS_LOST] and energy and marked
    assert other > 15 and asked == 0


def test_without_a_counter_energy_is_integrated_and_says_so():
    code = """
(card,), _ = nvml.open_cards(["GPU-0a"])
fake.fake_fail(0, %d, 3)
clock = [100.0]
from profiling.telemetry import counters
counters.time = type("Clock", (), {"monotonic": staticmethod(lambda: clock[0])})
said = []
for at, power in ((100, 200_000), (101, 300_000), (103, 100_000)):
    clock[0] = at
    say(0, %d, power)
    said.append(card.read())
print(json.dumps(said))
"""
    values = said(cards("GPU-0a"), code % (ENERGY, POWER_AVERAGE))
    assert [value["integrated_energy_mj"] for value in values] == [0, 250_000, 250_000 + 400_000]  # mW s = mJ
    assert not any("energy_mj" in value for value in values)


def test_an_old_driver_tells_what_it_can():
    code = """
(card,), _ = nvml.open_cards(["GPU-0a"])
print(json.dumps([card.read(), card.codes]))
"""
    values, codes = said(cards("GPU-0a", old_driver=True), code)
    assert set(values) == {"gpu_utilization", "memory_utilization", "memory_bytes", "temperature_c", "sm_clock_mhz",
                           "memory_clock_mhz", "throttle_reasons", "power_usage_mw", "integrated_energy_mj"}  # fmt: skip
    assert values["power_usage_mw"] == 305000
    assert set(codes.values()) == {FUNCTION_NOT_FOUND} and "energy_mj" in codes


def test_an_instance_tells_its_memory_and_its_card_the_rest():
    code = """
found, missing = nvml.open_cards(["MIG-0a/1", "MIG-0a/2"])
print(json.dumps([[card.device, card.read(), card.codes] for card in found]))
"""
    first, whole, second = said(cards("GPU-0a", "MIG-0a/1", "MIG-0a/2"), code)
    assert [first[0], whole[0], second[0]] == ["MIG-0a/1", "GPU-0a", "MIG-0a/2"]
    assert set(first[1]) == set(second[1]) == {"memory_bytes"}
    assert first[2]["gpu_utilization"] == NOT_SUPPORTED and whole[2] == {}
    assert whole[1]["power_average_mw"] == 300000


@pytest.mark.parametrize(
    ("there", "device", "why"), [(("GPU-0a",), "GPU-9z", "Not Found"), ((), "GPU-0a", "Not Found")]
)
def test_a_card_that_is_not_there_is_named_with_the_reason(there: tuple[str, ...], device: str, why: str):
    found, missing = said(cards(*there), f"print(json.dumps(nvml.open_cards([{device!r}])))")
    assert found == [] and missing == {device: why}


def test_without_a_driver_all_are_missing():
    env = {"LD_LIBRARY_PATH": cards()["LD_LIBRARY_PATH"]}
    assert said(env, "print(json.dumps(nvml.open_cards(['GPU-0a'])))") == [[], {"GPU-0a": "Driver Not Loaded"}]
