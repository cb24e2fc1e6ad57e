"""python -m launch, as a command that asks a scheduler more often than it would ask a real one:   impatient.py WORDS..."""

import importlib
import runpy
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # as python -m has it there
for name in ("pbs", "flux"):
    importlib.import_module(f"launch.backends.{name}.scheduler").SCHEDULER.poll_s = 0.4
runpy.run_module("launch", run_name="__main__", alter_sys=True)
