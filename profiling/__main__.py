"""python -m profiling VERB ...: analysis of runs and tables. The command rankloop has the same verbs."""

import os
import sys
from collections.abc import Sequence

if __name__ == "__main__":
    # A user's launch.py in the working directory is not ours.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import launch

    del sys.path[0]
    launch.import_packages()
    if sys.path[:1] == [os.getcwd()]:
        del sys.path[0]

from launch.cli import verbs, version
from launch.errors import Refusal, nearest


def main(argv: Sequence[str]) -> int:
    """Run a verb; print what it says; return the exit status: 0, or 2 for what the user can fix."""
    known = [verb for verb, (module, *_) in verbs.VERBS.items() if module.startswith("profiling.")]
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print("usage: python -m profiling VERB ...   (--help behind a verb shows its options)\n")
            print(verbs.table("profiling."))
        elif argv[0] == "--version":
            print(version.text())
        elif argv[0] not in known:
            raise Refusal(f"unknown verb {argv[0]!r}: {nearest(argv[0], known)}")
        else:
            return verbs.run(argv[0], argv[1:])
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


if __name__ == "__main__":
    if sys.argv[1:2] in ([], ["-h"], ["--help"]):  # importing the launcher, for its end, takes ten times as long
        from launch import streams

        streams.escape()
        try:
            main(sys.argv[1:])
            sys.stdout.flush()
        except BrokenPipeError:  # the reader has seen enough: `| head`
            streams.drop_output()
        except OSError as error:
            sys.exit(f"profiling: cannot write to standard output ({error.strerror})")
        sys.exit(0)

    from launch.__main__ import entry

    entry(main)
