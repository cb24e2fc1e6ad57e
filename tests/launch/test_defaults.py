"""The user's own defaults: where they stand, what goes before them, and that the plan says so."""

from collections.abc import Callable
from pathlib import Path

import pytest
from launched import facts

from launch import __main__ as command
from launch.cli import defaults
from launch.cli.names import Named
from launch.errors import Refusal

CLUSTER = "[partitions]\nlong = {}\nshort = {}\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes the file into the user's folder of settings; there is no Slurm to be asked."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("RANKLOOP_DEFAULTS", raising=False)
    monkeypatch.delenv("RANKLOOP_SITE", raising=False)
    folder = tmp_path / "config" / "rankloop"
    folder.mkdir(parents=True)
    (folder / "cluster.toml").write_text(CLUSTER)

    def written(text: str) -> Path:
        (folder / "defaults.toml").write_text(text)
        defaults.read.cache_clear()
        return folder / "defaults.toml"

    yield written
    defaults.read.cache_clear()


def dry(capsys: pytest.CaptureFixture, *words: str) -> tuple[dict[str, str], str]:
    assert command.main(["--dry-run", *words]) == 0
    said = capsys.readouterr().out
    return facts(said), said


def test_the_command_line_goes_first_then_the_definition_then_they_then_the_site(write, tmp_path: Path, capsys):
    file = write(
        '[job]\nsite = "./cluster.toml"\naccount = "m1"\npartition = "long"\nqos = "q"\nruns = "~/kept"\ntime = 30\n'
    )
    (tmp_path / "d.toml").write_text('workload = "tiny"\n[job]\ntime = "45"\nqos = "own"\n')
    found, said = dry(capsys, "-p", "short", str(tmp_path / "d.toml"))
    assert "#SBATCH --partition=short" in said and "#SBATCH --qos=own" in said and "#SBATCH --account=m1" in said
    assert found["walltime"] == "00:45:00" and found["run"].startswith(f"{tmp_path}/kept/d-")
    assert found["defaults"] == f"site {file.parent}/./cluster.toml, account m1, runs {tmp_path}/kept ({file})"
    found, said = dry(capsys, "tiny")
    assert found["walltime"] == "00:30:00" and "#SBATCH --partition=long" in said
    (tmp_path / "kept" / "r").mkdir(parents=True)
    assert Named().path("r") == tmp_path / "kept" / "r"  # where the verbs look too


def test_what_is_slurms_does_not_stop_a_run_on_this_machine(write, capsys):
    write('[job]\nsite = "./cluster.toml"\naccount = "m1"\npartition = "long"\nsample-hz = 5\ndetach = true\n')
    found, _ = dry(capsys, "--backend", "local", "--wait", "tiny")
    assert found["defaults"].startswith("sample_hz 5.0 (") and found["site"].startswith("laptop")


def test_another_file_or_none(write, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    assert "defaults" not in dry(capsys, "tiny")[0]
    write("[job]\ntime = 30\n")
    monkeypatch.setenv("RANKLOOP_DEFAULTS", "")
    assert "defaults" not in dry(capsys, "tiny")[0]
    monkeypatch.setenv("RANKLOOP_DEFAULTS", str(tmp_path / "other"))
    defaults.read.cache_clear()
    with pytest.raises(Refusal, match="RANKLOOP_DEFAULTS names .*other, and there is no such file"):
        command.main(["--dry-run", "tiny"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[job", "cannot be read as TOML"),
        ("account = 'm1'", "account is not a key that this table can have: write options of a job below"),
        ("job = 3", "job is not a table"),
        ("[job]\nacount = 'm1'", "acount, which is not an option of a job: did you mean 'account'"),
        ("[job]\nname = 'x'", "name, which is for one command alone"),
        ("[job]\nnodes = 4", "nodes, which is for one command alone"),
        ("[job]\naccount = true", "account = true: give a value"),
        ("[job]\ndetach = 'yes'", "detach = 'yes': give true or false"),
        ("[job]\naccount = {a = 1}", "give a value, as after --account"),
        ("[job]\nthrottle = 0", "option --throttle: '0' is not a whole number of 1"),
        ("[job]\ntime = 'abc'", "'abc' is not a walltime"),
        ("[job]\nrendezvous = 'ib'", "'ib' is not one of gloo, mpi"),
    ],
)
def test_bad_content_is_one_line_that_names_the_file(write, text: str, says: str):
    file = write(text)
    with pytest.raises(Refusal) as refused:
        command.main(["--dry-run", "tiny"])
    assert str(refused.value).startswith(str(file)) and says in str(refused.value) and "\n" not in str(refused.value)
