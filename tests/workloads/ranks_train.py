"""What each rank of a training runs."""

import runpy
import sys

from launch.node import stop


def main(*argv: str) -> None:
    stop.install()
    sys.argv = ["workloads.training.train", *argv]
    runpy.run_module("workloads.training.train", run_name="__main__", alter_sys=True)
