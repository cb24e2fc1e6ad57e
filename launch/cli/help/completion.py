"""python -m launch completion bash|zsh|fish: print a script with which the shell completes verbs, options and their
values, sites, workloads, and the names of runs.

  bash   add to ~/.bashrc:                   eval "$(rankloop completion bash)"
  zsh    add to ~/.zshrc, after compinit:    eval "$(rankloop completion zsh)"
  fish   run once:                           rankloop completion fish > ~/.config/fish/completions/rankloop.fish

The script asks this command for the words that fit, so it stays right when options or runs come and go. Where none
fits, the shell completes files.
"""

import contextlib
import dataclasses
import importlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from launch.cli import defaults
from launch.errors import Refusal, command
from launch.plan import options, site, typed
from launch.plan.request import Request
from launch.plan.target import workload

SCRIPTS = {
    "bash": """\
_rankloop() {
    mapfile -t COMPREPLY < <(rankloop completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o bashdefault -o default -F _rankloop rankloop
""",
    "zsh": """\
_rankloop() {
    local -a found
    found=("${(@f)$(rankloop completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n ${found[1]} ]]; then compadd -a found; else _files; fi
}
compdef _rankloop rankloop
""",
    "fish": """\
complete -c rankloop -a '(rankloop completion words -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
""",
}
_RUNS = frozenset(
    "resume extend status list diff logs cancel du rm summary watch trace compare report table predict simulate export "
    "mllog".split()
)


def main(argv: list[str]) -> int:
    """Print the script of a shell, or the words that fit; return 0.

    Raises
    ------
    Refusal
        If no shell, or one that is not known, is given.
    """
    if argv[:2] == ["words", "--"]:
        with contextlib.suppress(Refusal, OSError):  # a shell that completes is not the place for a message
            for word in fitting(argv[2:]):
                print(word)
        return 0
    if len(argv) != 1 or argv[0] not in SCRIPTS:
        raise Refusal(
            f"completion needs one of {', '.join(SCRIPTS)} and was given {' '.join(argv) or 'nothing'}: "
            f"{command('completion bash')}"
        )
    print(SCRIPTS[argv[0]], end="")
    return 0


def fitting(words: Sequence[str]) -> list[str]:
    """Return the words that may stand in place of the last one, which may be empty or incomplete.

    >>> fitting(["res"]), fitting(["--backend", ""])
    (['resume'], ['flux', 'local', 'pbs', 'slurm'])
    """
    from launch.cli.verbs import VERBS

    *before, begun = [word for word in words if word != "="] or [""]  # bash makes a word of the = in --site=NAME
    if words and words[-1] == "=":
        before, begun = [*before, begun], ""
    verb = before[0] if before and before[0] in VERBS else ""
    cls: type | None = Request
    if verb:
        cls = getattr(importlib.import_module(VERBS[verb][0]), "Options", None)
    else:
        with contextlib.suppress(Refusal):
            _, rest = options.split(Request, before)
            if rest:
                cls = workload.config_class(rest[0]) if workload.kind(rest[0]) == "workload" else None
    found = _values(cls, before[-1]) if cls and before else None
    if found is None:
        if begun.startswith("-"):
            found = _options(cls) if cls else []
        elif verb:
            found = _names(verb, begun)
        else:
            found = [*VERBS, *workload.known()] if cls is Request else []
    return sorted(word for word in found if word.startswith(begun))


def _options(cls: type) -> list[str]:
    return [flag for field in dataclasses.fields(cls) for flag in options.flags(field) if flag.startswith("--")]


def _values(cls: type, flag: str) -> list[str] | None:
    """Return the values of the option before the word; none if any word may stand there, None if it takes no value."""
    for field in dataclasses.fields(cls):
        if flag in options.flags(field):
            base, choices, _ = typed.scalar(typed.hint(cls, field.name))
            if base is bool:
                return None
            return site.names() if field.name == "site" else [str(choice) for choice in choices or ()]
    return None


def _names(verb: str, begun: str) -> Iterable[str]:
    """Return what a verb may be given: shells, sites or runs; the runs of a study once its name and a slash have been
    typed."""
    if verb == "completion":
        return SCRIPTS
    if verb == "sites":
        return ["new", *site.names()]
    if verb not in _RUNS:
        return []
    runs = defaults.runs()
    inside = begun.rpartition("/")[0]
    folder = runs / inside
    found = (
        [entry for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != "."] if folder.is_dir() else []
    )
    studies = {entry.name for entry in found if any(Path(entry).glob("*/run.json"))}
    of_runs = {entry.name for entry in found if Path(entry, "run.json").exists()}
    names = [*of_runs, *studies, *(f"{name}/" for name in studies)]
    return [f"{inside}/{name}" if inside else name for name in names]
