"""The measurements for a machine with a GPU, on this one: they end, keep what they found, and say what was not there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ranks
from nvml import cards

sys.path.insert(0, str(Path(__file__).parent))

import measure

RUN = Path(__file__).with_name("run")


def run(out: Path, *words: str, **environment: str) -> dict[str, dict]:
    """The results by part."""
    environment = os.environ | {"PYTHON": ranks.JAX, "CUDA_VISIBLE_DEVICES": ""} | environment
    out = out / "results"
    done = subprocess.run([RUN, "--tiny", "--out", out, *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "gpu.md").read_text() in done.stdout
    return {result["part"]: result for result in json.loads((out / "gpu.json").read_text())}


def numbers(result: dict) -> dict[str, float | str]:
    return {row["what"]: row["value"] for row in result["rows"]}


@ranks.NEEDS_JAX
def test_a_part_without_its_gpu_says_so_and_is_no_failure(tmp_path: Path):
    found = run(tmp_path, "machine", "readings", "pinning")
    assert numbers(found["machine"])["GPU"] == "none"
    assert found["machine"]["outcome"] == "done"
    for part in ("readings", "pinning"):
        assert found[part]["outcome"] == "not measured: no NVIDIA GPU"
        assert f"| {part} | | | | not measured: no NVIDIA GPU |" in (tmp_path / "results" / "gpu.md").read_text()


@ranks.NEEDS_JAX
def test_the_readings_of_a_card_are_compared(tmp_path: Path):
    # The emulated card counts 300 W and shows 310 W, whatever the load.
    card = cards("GPU-aaaaaaaa-1111-2222-3333-444455556666") | {"CUDA_VISIBLE_DEVICES": "0"}
    result = run(tmp_path, "readings", **card)["readings"]
    assert result["outcome"] == "done"
    found = numbers(result)
    assert found["full: counter over sampled"] == pytest.approx(300 / 310, rel=1e-3)
    assert found["full: SM activity (GPM)"] == pytest.approx(80) and "GPM" not in found
    assert {"idle", "half", "full"} == {name.partition(":")[0] for name in found if "use of the GPU" in name}


def test_what_a_part_has_found_is_kept_however_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "parts").mkdir()
    row = 'open(sys.argv[1], "a").write(\'{"what": "rows", "value": 1, "unit": "", "note": ""}\\n\')'
    ways = {
        "hangs": "time.sleep(99)",
        "raises": "raise OSError('no file')",
        "ends": "",
        "lacks": "print('no X'); sys.exit(3)",
    }
    for name, way in ways.items():
        (tmp_path / "parts" / f"{name}.py").write_text(f"import sys, time\n{row}\n{way}\n")
    monkeypatch.setattr(measure, "HERE", tmp_path)
    monkeypatch.setattr(measure, "PARTS", tuple(measure.Part(name, name, 2) for name in [*ways, "late"]))
    assert measure.main(["--out", str(tmp_path / "out"), "--seconds", "6"]) == 1
    found = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert [each["outcome"] for each in found[:4]] == [
        "stopped after its 2 s", "failed (exit status 1): OSError: no file", "done", "not measured: no X"
    ]  # fmt: skip
    assert all(numbers(each) == {"rows": 1} for each in found[:4])
    assert found[4]["outcome"].startswith("failed")
    assert measure.main(["--out", str(tmp_path / "out")]) == 2  # which has results


def test_a_part_that_does_not_exist_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert measure.main(["--out", str(tmp_path / "out"), "tensor"]) == 2
    assert "no part tensor" in capsys.readouterr().out and not (tmp_path / "out").exists()


@pytest.mark.slow
@ranks.NEEDS_JAX
def test_all_parts_run_to_their_ends_without_a_gpu(tmp_path: Path):
    found = run(tmp_path, "--seconds", "900")
    assert len(found) == len(measure.PARTS)
    for part, result in found.items():
        assert result["outcome"] == "done" or result["outcome"].startswith("not measured: "), (part, result["outcome"])
    assert numbers(found["training"])["times better than the mean field"] > 0
