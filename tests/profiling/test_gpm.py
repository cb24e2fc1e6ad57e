"""What cards from Hopper on tell of their own work: NVIDIA's bindings over an emulated driver, and what is made of it."""

from pathlib import Path

import pytest
from nvml import cards, said
from plans import LAPTOP, plan, run_of

from profiling.cli import overview, summary
from profiling.telemetry import plausible, readings
from profiling.telemetry.power import power
from profiling.telemetry.reading_lines import READING, ReadingWriter
from profiling.telemetry.usage import usage

NOT_SUPPORTED, NO_PERMISSION, UNKNOWN = 3, 4, 999
PCIE_TX, PCIE_RX, NVLINK_TX, NVLINK_RX, POWER_AVERAGE, MODULE_POWER, SUPPORT, SAMPLE, METRIC = (
    197, 198, 138, 139, 185, 310, 311, 312, 313
)  # fmt: skip
SM, TENSOR, DRAM = 2, 5, 10
ACTIVITY = {"sm_activity": 800, "sm_occupancy": 500, "tensor_activity": 400, "dram_activity": 300}
TRAFFIC = {
    "gpm_pcie_tx_mib_per_s": 250, "gpm_pcie_rx_mib_per_s": 500, "gpm_nvlink_tx_mib_per_s": 40, "gpm_nvlink_rx_mib_per_s": 40
}  # fmt: skip

HEAD = f"""
fake.fake_gpm.argtypes = [ctypes.c_uint, ctypes.c_int, ctypes.c_double]
found, _ = nvml.open_cards(DEVICES)
card, names = found[0], {sorted(ACTIVITY | TRAFFIC)}
def read(card=card):
    time.sleep(0.11)
    return {{name: value for name, value in card.read().items() if name in names}}
"""


def told(code: str, *devices: str) -> list:
    """What a process prints that has opened these cards, of which it can `read()` what GPM tells."""
    there = ["GPU-0a", *devices] if devices else ["GPU-0a"]
    return said(cards(*there), HEAD.replace("DEVICES", repr(list(devices or there))) + code)


def test_it_is_the_mean_since_the_reading_before_and_traffic_is_left_to_counters():
    first, second, early, codes = told(
        "print(json.dumps([read(), read(), card.read().get('sm_activity'), card.codes]))"
    )
    assert (first, second, codes) == ({}, ACTIVITY, {}) and set(second) <= {field.name for field in READING}
    assert early is None  # within a tenth of a second a card has nothing new


def test_a_load_that_changes_between_two_readings():
    code = """
read()
began = time.monotonic()
fake.fake_gpm(0, 2, 90.0); fake.fake_gpm(0, 5, 7.0)
time.sleep(0.2)
changed = time.monotonic()
fake.fake_gpm(0, 2, 10.0)
time.sleep(0.1)
found = read()
print(json.dumps([found, (90 * (changed - began) + 10 * (time.monotonic() - changed)) / (time.monotonic() - began)]))
"""
    found, percent = told(code)
    assert found["sm_activity"] == pytest.approx(10 * percent, abs=30) and 200 < found["sm_activity"] < 850
    assert found["tensor_activity"] == pytest.approx(70, abs=5)  # it was 40 % for an instant before


def test_traffic_where_there_are_no_counters():
    code = f"""
for id in ({PCIE_TX}, {PCIE_RX}, {NVLINK_TX}, {NVLINK_RX}): fake.fake_fail(0, id, 3)
print(json.dumps([read(), read()]))
"""
    assert told(code) == [{}, ACTIVITY | TRAFFIC]


@pytest.mark.parametrize(
    ("how", "why"),
    [(f"say(0, {SUPPORT}, 0)", NOT_SUPPORTED), (f"fake.fake_fail(0, {SAMPLE}, 4)", NO_PERMISSION)],
    ids=["Ampere", "forbidden"],
)
def test_a_card_that_does_not_tell_is_asked_once_and_says_why(how: str, why: int):
    code = f"""
{how}
first, codes = read(), dict(card.codes)
before = fake.fake_calls()
print(json.dumps([first, read(), codes, card.codes, fake.fake_calls() - before, fake.fake_samples(), len(card.read())]))
"""
    first, second, codes, still, calls, samples, others = told(code)
    assert (first, second, codes, still) == ({}, {}, {"gpm": why}, {"gpm": why})
    assert calls == 8 and samples == 0 and others > 15


def test_errors_in_between_leave_gaps_and_what_follows_is_since_the_last_sample():
    code = f"""
said = [read(), read()]
fake.fake_fail(0, {SAMPLE}, 999)
said += [read(), dict(card.codes)]
fake.fake_gpm(0, 2, 0.0)
fake.fake_fail(0, {SAMPLE}, 0); fake.fake_fail(0, {METRIC + TENSOR}, 999); fake.fake_fail(0, {METRIC + DRAM}, 3)
said += [read(), dict(card.codes)]
fake.fake_fail(0, {METRIC + TENSOR}, 0); fake.fake_fail(0, {METRIC + DRAM}, 0)
print(json.dumps([*said, read(), card.codes]))
"""
    _, before, gap, why, part, partly, after, left = told(code)
    assert before == ACTIVITY and gap == {} and why == {"gpm": UNKNOWN}
    assert (
        set(part) == {"sm_activity", "sm_occupancy"} and 100 < part["sm_activity"] < 700
    )  # of both, from its middle on
    assert partly == {"tensor_activity": UNKNOWN, "dram_activity": NOT_SUPPORTED}
    assert after == {"sm_activity": 0, "sm_occupancy": 500, "tensor_activity": 400}
    assert left == {"dram_activity": NOT_SUPPORTED}  # which is not asked for again


@pytest.mark.parametrize("level", ["140.0", "float('nan')", "-1.0"])
def test_values_that_cannot_be_are_left_out(level: str):
    code = f"read(); read(); fake.fake_gpm(0, 2, {level}); read(); print(json.dumps([read(), card.codes]))"
    found, codes = told(code)
    assert "sm_activity" not in found and found["sm_occupancy"] == 500
    assert codes == {"sm_activity": plausible.IMPOSSIBLE}


def test_instances_tell_their_own_and_their_card_nothing():
    code = """
fake.fake_gpm(2, 2, 20.0)
[read(one) for one in found]
print(json.dumps([[one.device, read(one), "gpm" in one.codes] for one in found]))
"""
    first, whole, second = told(code, "MIG-0a/1", "MIG-0a/2")
    assert whole == ["GPU-0a", {}, False]
    assert first[:2] == ["MIG-0a/1", ACTIVITY | TRAFFIC]  # they have no counters
    assert second[1]["sm_activity"] == 200 and not first[2]


def test_an_instance_whose_card_does_not_answer_at_first():
    code = f"""
fake.fake_fail(0, {SUPPORT}, 999)
said = [read(), card.codes.get("gpm")]
fake.fake_fail(0, {SUPPORT}, 0)
print(json.dumps([*said, read(), read(), card.codes.get("gpm")]))
"""
    assert told(code, "MIG-0a/1") == [{}, UNKNOWN, {}, ACTIVITY | TRAFFIC, None]


def test_instances_of_a_card_that_does_not_tell():
    code = f"say(0, {SUPPORT}, 0); print(json.dumps([[read(one), one.codes.get('gpm')] for one in found]))"
    assert told(code, "MIG-0a/1") == [[{}, NOT_SUPPORTED], [{}, None]]


def test_the_power_of_a_module_is_not_that_of_its_gpu():
    code = f"""
without = [card.read().get("module_power_mw"), "module_power_mw" in card.codes]
(card,), _ = nvml.open_cards(["GPU-0a"])
fake.fake_fail(0, {MODULE_POWER}, 0); say(0, {MODULE_POWER}, 480_000)
values = card.read()
print(json.dumps([without, values["module_power_mw"], values["power_average_mw"]]))
"""
    assert told(code) == [[None, False], 480_000, 300_000]


@pytest.mark.parametrize(
    ("counted", "module", "way"),
    [(340, 345, "read"), (302, 345, "counted"), (302, 300, "counted"), (340, 300, "counted")],
    ids=["of the module", "of the GPU", "a module without a processor", "within what sensors differ"],
)
def test_a_counter_of_the_modules_energy_is_not_the_gpus(counted: float, module: float, way: str):
    found = power({"counted": counted, "average": 300, "module": module, "readings": 20, "deviation": 5}, 20.0)
    assert found is not None and found.way == way
    assert ("module with the processor draws 345 W" in found.doubt) == (way == "read")


def test_the_summary_shows_what_was_read_also_beside_files_of_an_earlier_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = run_of(plan(here=LAPTOP, sample_hz=1.0), tmp_path / "run")
    rows = [
        {"time_ms": 10**12 + 1000 * s, "node": 0, "attempt": 1, "rank": 0, "device": "GPU-a", "gpu_utilization": 90}
        for s in range(200)
    ]
    with monkeypatch.context() as earlier:
        earlier.setattr(readings, "READING", [field for field in READING if field.name not in ACTIVITY])
        earlier.setattr(readings, "WORTH_BYTES", 0)
        with ReadingWriter(run.node_readings(0, 1)) as writer:
            writer.write(rows)
        assert readings.compact(run.node_readings(0, 1)).suffix == ".parquet"
    (alone,) = usage(run.readings)
    assert alone.numbers == {"gpu_utilization": pytest.approx(0.9)}
    with ReadingWriter(run.node_readings(0, 2)) as writer:
        writer.write(
            [row | {"attempt": 2, "sm_activity": 500 + s, "tensor_activity": 20} for s, row in enumerate(rows)]
        )
    (both,) = usage(run.readings)
    assert both.numbers["sm_activity"] == pytest.approx(0.5995) and both.numbers["tensor_activity"] == pytest.approx(
        0.02
    )
    monkeypatch.setattr(readings, "WORTH_BYTES", 0)
    assert readings.compact(run.node_readings(0, 2)).suffix == ".parquet"
    assert usage(run.readings) == [both]
    gpus = overview.document(run, overview.state(run))["gpus"]
    assert gpus["tensor_activity"]["mean"] == pytest.approx(0.02) and "dram_activity" not in gpus
    shown = summary.run([str(run.path)])
    assert "SM activity" in shown and "SM occupancy" not in shown
