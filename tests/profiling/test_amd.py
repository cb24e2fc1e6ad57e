"""Readings of AMD's cards: AMD's own bindings over an emulated library, in processes of their own."""

import json
import os
import subprocess
import sys

from amd import gpus
from launched import ROOT, environment

from profiling.telemetry.reading_lines import READING

NOT_SUPPORTED, IO, NO_DATA = 2, 12, 40


def said(env: dict[str, str], code: str) -> dict:
    """What a process prints that reads the cards of this environment."""
    done = subprocess.run(
        [sys.executable, "-c", "import json\n" + code],
        env=environment(PYTHONPATH=str(ROOT)) | env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


READ = """
from profiling.telemetry import amd
found, missing = amd.open_cards(%s)
print(json.dumps([[[card.device, card.name, [card.read(), card.read()][-1], card.codes] for card in found], missing]))
"""


def test_a_card_tells_all_that_it_has_under_names_of_the_schema():
    ((first, second), missing) = said(gpus("GPU-0a", "GPU-1b"), READ % ["device 0", "device 1"])
    device, name, values, codes = first
    assert (device, name, missing) == ("device 0", "Emulated Instinct", {})
    assert set(values) <= {field.name for field in READING}
    assert values == {
        "gpu_utilization": 90, "memory_utilization": 40, "memory_bytes": 7 << 30, "power_average_mw": 420_000, "energy_mj": 30_600,
        "temperature_c": 66, "memory_temperature_c": 71, "sm_clock_mhz": 1700, "memory_clock_mhz": 1600,
    }  # fmt: skip
    assert codes == {"power_mw": NO_DATA, "ecc_corrected": NOT_SUPPORTED, "ecc_uncorrected": NOT_SUPPORTED}
    # The other half of the card: its power and energy are told with those of the first, and are not 0.
    assert second[2]["gpu_utilization"] == 91 and not {"power_average_mw", "energy_mj", "power_mw"} & set(second[2])
    assert "integrated_energy_mj" not in second[2]


def test_a_card_is_known_by_its_uuid_and_one_that_is_not_there_is_named():
    ((card,), missing) = said(gpus("GPU-0a", "GPU-1b"), READ % ["GPU-1b", "device 7"])
    assert card[0] == "GPU-1b" and card[2]["gpu_utilization"] == 91
    assert missing == {"device 7": "AMD SMI knows no such GPU"}


def test_an_error_in_between_leaves_a_gap_and_no_zero():
    code = """
import os
from profiling.telemetry import amd
(card,), _ = amd.open_cards(["device 0"])
before = card.read()
for fails in ("amdsmi_get_gpu_activity=12", "amdsmi_get_energy_count=12", ""):
    os.environ["FAKE_AMDSMI_FAIL"] = fails
    values = card.read()
    print(json.dumps([sorted(set(before) - set(values)), sorted(set(values) - set(before)), card.codes.get("energy_mj"), card.error_text(12)]), end=",")
"""
    env = gpus("GPU-0a")
    done = subprocess.run([sys.executable, "-c", "import json\n" + code], env=environment(PYTHONPATH=str(ROOT)) | env, capture_output=True, text=True, check=True)  # fmt: skip
    activity, energy, none = json.loads(f"[{done.stdout.rstrip(',')}]")
    assert activity[:2] == [["gpu_utilization", "memory_utilization"], []] and "I/O Error" in activity[3]
    assert energy[:3] == [["energy_mj"], [], IO]  # the counter is there: nothing is integrated in its place
    assert none[:3] == [[], [], None]


def test_without_a_counter_energy_is_integrated_and_says_so():
    ((card,), _) = said(gpus("GPU-0a") | {"FAKE_AMDSMI_FAIL": "amdsmi_get_energy_count=2"}, READ % ["device 0"])
    assert card[2]["integrated_energy_mj"] >= 0 and "energy_mj" not in card[2]


def test_the_sampler_takes_the_driver_that_knows_the_gpu():
    code = """
from profiling.telemetry import sampler
cards, missing = sampler._open(["device 1", "GPU-0a"])
print(json.dumps([[type(card).__module__ for card in cards], missing]))
"""
    assert said(gpus("GPU-0a", "GPU-1b"), code) == [["profiling.telemetry.amd", "profiling.telemetry.amd"], {}]
    nobody = {name: "" for name in ("LD_LIBRARY_PATH", "ROCM_PATH", "ROCM_HOME")}
    found, missing = said({key: os.environ.get(key, value) for key, value in nobody.items()}, code)
    assert found == [] and set(missing) == {"device 1", "GPU-0a"}
    assert all("no AMD SMI" in why for why in missing.values())
