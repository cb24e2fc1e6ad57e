"""The study that `demo` runs."""

from pathlib import Path

from launched import launch


def test_it_is_planned_as_the_command_that_it_shows_and_takes_further_options(tmp_path: Path):
    planned = launch("demo", "--dry-run", "--runs", tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.startswith("$ ") and "3 repeats" in planned.stdout and "weak scaling" in planned.stdout
    assert not any(tmp_path.iterdir())
    assert launch("demo", "--no-such-option").returncode == 2
