"""python -m profiling VERB ...: what is learned from runs and tables."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from launch.errors import Refusal, nearest

VERBS = ("compare", "export", "mllog", "predict", "report", "score", "simulate", "summary", "watch", "trace")
"""Modules of profiling.cli, imported when used: run(argv) -> what is printed, Options, and a first line as help."""


def main(argv: Sequence[str]) -> int:
    """Run a verb; print its result; return the exit status: 0, or 2 for what the user can fix."""
    try:
        verb, *words = argv or ["--help"]
        if verb in ("-h", "--help"):
            print(_help())
        elif verb not in VERBS:
            raise Refusal(f"unknown verb {verb!r}: {nearest(verb, VERBS)}")
        elif {"-h", "--help"} & set(words):
            from launch.plan import options

            module = _module(verb)
            print(f"{module.__doc__}\n\n{options.describe(module.Options)}")
        else:
            print(_module(verb).run(words))
        return 0
    except Refusal as refusal:
        print(f"profiling: {refusal}", file=sys.stderr)
        return refusal.status
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("launch", "profiling", "workloads")):
            raise
        fix = f"{sys.executable} -m pip install {error.name}"
        print(f"profiling: {' '.join(argv[:1])} needs {error.name}, which is not installed: {fix}", file=sys.stderr)
        return 2


def _module(verb: str):
    return importlib.import_module(f"profiling.cli.{verb}")


def _help() -> str:
    modules = Path(__file__).with_name("cli")  # their first lines: not all can be imported without all packages
    lines = [f"  {(modules / f'{verb}.py').read_text().partition(chr(10))[0].strip(chr(34))}" for verb in VERBS]
    return "\n".join(["usage: python -m profiling VERB ...   (VERB --help shows its options)", "", *lines])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:  # the reader, such as head, has seen enough
        sys.stderr.close()
        sys.exit(141)
