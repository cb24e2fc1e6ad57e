"""python -m profiling VERB ...: what is learned from runs and tables."""

import importlib
import sys
from collections.abc import Sequence

from launch.errors import Refusal, nearest

VERBS = {
    "compare": "profiling.cli.compare",
    "export": "profiling.cli.export",
    "mllog": "profiling.cli.mllog",
    "predict": "profiling.cli.predict",
    "report": "profiling.cli.report",
    "score": "profiling.cli.score",
    "simulate": "profiling.cli.simulate",
    "summary": "profiling.cli.summary",
    "watch": "profiling.cli.watch",
    "trace": "profiling.cli.trace",
}
"""Each verb's module, imported when the verb is used: it has run(argv) -> what is printed, and Options."""


def main(argv: Sequence[str]) -> int:
    """Run a verb; print what it says; return the exit status: 0, or 2 for what the user can mend."""
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print(_help())
            return 0
        verb, *words = argv
        if verb not in VERBS:
            raise Refusal(f"unknown verb {verb!r}: {nearest(verb, VERBS)}")
        module = importlib.import_module(VERBS[verb])
        if {"-h", "--help"} & set(words):
            from launch.plan import options

            print(f"{module.__doc__}\n\n{options.describe(module.Options)}")
            return 0
        print(module.run(words))
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


def _help() -> str:
    lines = [importlib.import_module(module).__doc__ or "" for module in VERBS.values()]
    return "\n".join(
        [
            "usage: python -m profiling VERB ...   (--help behind a verb shows its options)",
            "",
            *(f"  {line}" for line in lines),
        ]
    )


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:  # the reader, such as head, has seen enough
        sys.stderr.close()
        sys.exit(141)
