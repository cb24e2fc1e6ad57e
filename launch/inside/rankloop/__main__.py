#!/usr/bin/env python3
"""The command rankloop, and how each process of the toolkit starts:   python .../rankloop WORDS

This is the one package of the toolkit whose name on Python's path matters; all others are imported from where they lie.
So a user's launch.py, profiling/ or workloads/, in the working directory or on PYTHONPATH, takes the place of none of
them.
"""

import os
import sys

_HERE = os.path.dirname(os.path.realpath(__file__))


def home() -> "str | None":
    """Return the folder in which the toolkit lies: this package is beside the others in a wheel, and in launch/inside
    of a copy."""
    homes = (os.path.dirname(_HERE), os.path.dirname(os.path.dirname(os.path.dirname(_HERE))))
    return next((home for home in homes if os.path.isfile(os.path.join(home, "launch", "__init__.py"))), None)


def _is_ours(word: str) -> bool:
    """Return whether a word is a module of the toolkit, and not a user's script, such as launch.py."""
    file = os.path.join(str(home()), word.replace(".", os.sep) + ".py")
    return word.startswith(("launch.", "profiling.")) and os.path.isfile(file)


def main() -> int:
    """Do what the command line says; return the exit status."""
    sys.path.insert(0, str(home()))
    import launch.streams

    del sys.path[0]
    launch.import_packages()
    words = sys.argv[1:]
    if words and _is_ours(words[0]):  # one of the toolkit's own processes
        if words[0] != "launch.node.worker":  # the streams of a rank are those of the user's program
            launch.streams.escape()
        if words[0] in ("launch.node.attempt", "launch.node.worker"):  # the user's program waits for these
            launch.save_time()
        return launch.importlib.import_module(words[0]).main(words[1:])
    launch.save_time()
    from launch.__main__ import entry

    return entry()


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  # the python3 of a login node may be older
        said = "rankloop: Python 3.11 or newer is needed, and {} is {}.{}.{}: load a newer one"
        print(said.format(sys.executable, *sys.version_info[:3]), file=sys.stderr)
        sys.exit(2)
    if os.environ.pop("PYTHONINSPECT", "") and sys.flags.inspect:  # Python would forget the exit status
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    if not sys.flags.safe_path:
        del sys.path[0]  # the folder of this file
    sys.exit(main())
