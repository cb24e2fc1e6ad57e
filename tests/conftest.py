"""What all tests share."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a script leaves it to what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else launchers would ignore the Ctrl-C of tests

pytest_plugins = ["slurm.fixtures", "schedulers.fixtures"]

settings.load_profile("ci")  # the same examples each time; pytest --hypothesis-profile=default searches for others

os.environ["RANKLOOP_DEFAULTS"] = ""  # the defaults of who runs the tests change none of them

# Tests start hundreds of processes, which would otherwise compile the toolkit each time where Python is told to keep
# nothing. What is compiled lies in the checkout, but beside no source: folders of code stay as they are.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ["PYTHONPYCACHEPREFIX"] = str(Path(__file__).resolve().parents[1] / ".cache" / "bytecode")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("no real data here: the folder shared/data beside the checkout is absent")
    return SHARED
