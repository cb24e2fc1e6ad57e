"""python -m profiling VERB ...: what is learned from runs and tables."""

import importlib
import sys
from collections.abc import Sequence

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


def _module(verb: str):
    return importlib.import_module(f"profiling.cli.{verb}")


def _help() -> str:
    lines = [f"  {_module(verb).__doc__}" for verb in VERBS]
    return "\n".join(["usage: python -m profiling VERB ...   (VERB --help shows its options)", "", *lines])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:  # the reader, such as head, has seen enough
        sys.stderr.close()
        sys.exit(141)
