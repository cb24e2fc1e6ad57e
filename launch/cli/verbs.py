"""The verbs of the command rankloop, including those that measure and predict. Each is imported when it is used."""

import importlib
from collections.abc import Sequence

from launch.errors import program

VERBS = {
    "resume": ("launch.cli.resume", "RUN|STUDY", "continue a run that was stopped, killed or failed"),
    "extend": ("launch.cli.extend", "STUDY", "add points and repeats to a study, and run them"),
    "status": ("launch.cli.status", "[RUN ...]", "the state of runs: all in the folder runs, or those named"),
    "list": ("launch.cli.listing", "[FOLDER ...]", "studies and runs, one line each, with the states of their runs"),
    "diff": ("launch.cli.diff", "RUN RUN", "compare the plan, code, environment, machine and results of two runs"),
    "logs": ("launch.cli.logs", "RUN", "what the ranks of a run have printed"),
    "cancel": ("launch.cli.cancel", "RUN ...", "end runs, so that they can be resumed"),
    "du": ("launch.cli.du", "[RUN ...]", "how much room runs take, by part: checkpoints, readings, traces, logs"),
    "rm": ("launch.cli.rm", "RUN ...", "remove finished runs and studies, after a look at what goes"),
    "demo": ("launch.cli.demo", "", "a scaling study of a small program on this machine, in half a minute"),
    "workloads": ("launch.cli.workloads", "", "the workloads that come with it: what for, which data, how long"),
    "new": ("launch.cli.new", "FILE.py", "write a small workload to start from"),
    "doctor": ("launch.cli.doctor.doctor", "", "what this environment has and lacks, and how to fix it"),
    "sites": ("launch.cli.sites", "[SITE|new]", "the machines one can run on; show a site file, or write one"),
    "completion": ("launch.cli.help.completion", "bash|zsh|fish", "a script that completes commands in your shell"),
    "summary": ("profiling.cli.summary", "RUN", "steps, throughput and GPUs of a run, and which ranks are slow"),
    "watch": ("profiling.cli.watch", "[RUN ...]", "a running run, or all in the folder runs, live"),
    "trace": ("profiling.cli.trace", "RUN|TRACE", "where the time of the traced steps went, by rank"),
    "compare": ("profiling.cli.compare", "RUN RUN", "two runs or studies side by side, and what became slower"),
    "report": ("profiling.cli.report", "STUDY|TABLE", "the scaling table, with confidence intervals; write a report"),
    "table": ("profiling.cli.table", "STUDY", "what each point of a sweep has reached: repeats, mean, spread, best"),
    "predict": ("profiling.cli.predict", "STUDY|TABLE", "throughput, hours and energy of larger runs, with intervals"),
    "score": ("profiling.cli.score", "PREDICTIONS TABLE", "predictions against what was measured since"),
    "simulate": ("profiling.cli.simulate", "RUN|MODEL", "the step on any number of nodes, from layers and links"),
    "export": ("profiling.cli.export", "STUDY", "what was measured of each run, as CSV, Parquet or JSON"),
    "mllog": ("profiling.cli.mllog", "RUN", "the run as lines of an MLPerf log"),
}
"""For each verb: its module, its arguments, and what it does. A module has ``main(argv) -> exit status``, or
``run(argv) -> str``, whose result is printed."""


def run(verb: str, words: Sequence[str]) -> int:
    """Run a verb, or print its help; return the exit status."""
    if {"-h", "--help"} & set(words[: words.index("--")] if "--" in words else words):
        print(help_of(verb))
        return 0
    module = importlib.import_module(VERBS[verb][0])
    if hasattr(module, "main"):
        return module.main(list(words))
    print(module.run(words))
    return 0


def table(package: str = "") -> str:
    """Return one line for each verb, or for those of one package."""
    rows = [(f"{verb} {arguments}", what) for verb, (module, arguments, what) in VERBS.items() if package in module]
    return "\n".join(f"  {left:<24} {what}" for left, what in rows)


def help_of(verb: str) -> str:
    """Return what ``--help`` after a verb prints."""
    import re

    from launch.cli.help import examples
    from launch.plan import option_help

    module = importlib.import_module(VERBS[verb][0])
    text = str(module.__doc__).strip()
    if program() == "rankloop":
        text = re.sub(r"\bpython -m (launch|profiling)\b", "rankloop", text)
    parts = [text]
    if hasattr(module, "Options"):
        parts.append(option_help.describe(module.Options))
    return "\n\n".join([*parts, examples.of(verb)])
