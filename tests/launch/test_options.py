"""Dataclass <-> command line: every value that can be held can be said, and what cannot be said is refused."""

import dataclasses
import importlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.cli.verbs import VERBS
from launch.errors import Refusal
from launch.plan import option_help, options, typed
from launch.plan.request import Request
from launch.plan.target import workload
from profiling.cli import export


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    seed: int = 0  # of the noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Base):
    max_width: int = 64  # channels of the first block
    rate: float = 1e-3  # per step; a comment that goes on
    # in the next line
    mirror: bool = False  # each example
    augment: bool | None = None  # it
    position: bool = True  # of each cell
    kind: Literal["plain", "gated"] = "plain"  # of network
    mode: int | None = None
    masks: Path | None = None  # folder
    title: str = ""
    sizes: tuple[int, ...] = (3, 4)  # of the layers
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Required:
    """Has an option without a default."""

    cells: int  # in each direction


text = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)))
whole = st.integers(-(2**63), 2**63 - 1)
configs = st.builds(
    Config,
    seed=whole,
    max_width=whole,
    rate=st.floats(allow_nan=False, allow_infinity=False),
    mirror=st.booleans(),
    augment=st.none() | st.booleans(),
    position=st.booleans(),
    kind=st.sampled_from(["plain", "gated"]),
    mode=st.none() | whole,
    masks=st.none() | text.map(Path),
    title=text,
    sizes=st.lists(whole, min_size=1).map(tuple),
    words=st.lists(text).map(tuple),
)


@settings(deadline=None, max_examples=50)
@given(configs)
def test_what_arguments_says_parse_understands(config: Config):
    assert options.parse(Config, options.arguments(config)) == config


@settings(deadline=None, max_examples=50)
@given(configs)
def test_arguments_are_few_and_survive_split(config: Config):
    words = options.arguments(config)
    different = [f.name for f in dataclasses.fields(Config) if getattr(config, f.name) != f.default]
    assert len({word.partition("=")[0] for word in words}) == len(different)
    given_, rest = options.split(Config, [*words, "workload", "--max-width", "3"])
    assert options.build(Config, given_) == config
    assert rest == ["workload", "--max-width", "3"]


@pytest.mark.parametrize(
    ("argv", "rest"),
    [
        (["-N4", "w", "--seed", "2", "-N", "1"], ["w", "--seed", "2", "-N", "1"]),
        (["--dry-run", "x.py", "--", "--x", "-h"], ["x.py", "--", "--x", "-h"]),
        (["--nodes=4"], []),
        ([], []),
        (["x.py", "-"], ["x.py", "-"]),
    ],
)
def test_split_leaves_the_words_of_the_workload_alone(argv: list[str], rest: list[str]):
    assert options.split(Request, argv)[1] == rest


def test_spellings():
    for words in (["-N", "4"], ["-N4"], ["--nodes", "4"], ["--nodes=4"]):
        assert options.parse(Request, words).nodes == (4,)
    assert options.parse(Request, ["--ntasks-per-node", "3"]).ranks_per_node == 3
    assert options.parse(Config, ["--no-position", "--mirror"]) == Config(position=False, mirror=True)
    assert options.parse(Config, ["--no-augment"]).augment is False
    assert options.parse(Config, ["--sizes", "1", "--sizes", "2"]).sizes == (1, 2)
    assert options.parse(Config, ["--seed", "-5"]).seed == -5


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--max-widht", "3"], "unknown option --max-widht of w: did you mean '--max-width'?"),
        (["--max-widht=3"], "did you mean '--max-width'?"),
        (["--max", "3"], "unknown option --max of w"),  # no abbreviations: a new option would change their meaning
        (["--zzz"], "known: --augment, --kind, --masks, --max-width"),
        (["64"], "'64' is not an option of w: options start with --"),
        (["--max-width", "wide"], "option --max-width: 'wide' is not a whole number"),
        (["--max-width", "1.5"], "'1.5' is not a whole number"),
        (["--rate", "fast"], "option --rate: 'fast' is not a number"),
        (["--kind", "gatde"], "'gatde' is not one of plain, gated"),
        (["--max-width"], "option --max-width needs a value"),
        (["--max-width", "--mirror"], "option --max-width needs a value"),
        (["--title", "--mirror=x"], "option --title needs a value"),
        (["--mirror=yes"], "option --mirror takes no value, and 'yes' is given"),
    ],
)
def test_refusals(argv: list[str], says: str):
    with pytest.raises(Refusal) as refusal:
        options.parse(Config, argv, "w")
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "word",
    ["nodes=1_0", "nodes=", "nodes=1,,2", "nodes= 1", "nodes=\u0661", "nodes=0", "nodes=1e3", "nodes=" + "9" * 30, "seed=-1", f"seed={2**32}",
     "repeats=0", f"repeats={10**9}", "throttle=0", "throttle=-1", "budget=nan", "budget=inf", "budget=-1", "budget=1e400", "budget=1_0.5",
     "sample-hz=nan", "sample-hz=-1", "stop-below=nan", "stop-below=0", "stop-below=1.1", "max-attempts=0", "runs="],
)  # fmt: skip
def test_what_is_no_number_within_its_bounds_is_refused(word: str):
    with pytest.raises(Refusal, match=rf"option --{word.partition('=')[0]}: ") as refusal:
        options.parse(Request, [f"--{word}"])
    assert "\n" not in str(refusal.value)


@dataclass(frozen=True)
class Wide:
    """Numbers without bounds of their own."""

    whole: int = 0
    rate: float = 0


@settings(deadline=None)
@given(st.text(st.sampled_from("0123456789_+-.eE \u0661nainfx"), max_size=8))
def test_a_number_is_what_its_digits_say_or_refused(word: str):
    for name, kind in (("whole", int), ("rate", float)):
        try:
            value = getattr(options.parse(Wide, [f"--{name}={word}"]), name)
        except Refusal as refusal:
            assert "\n" not in str(refusal)
        else:
            assert value == kind(word) and math.isfinite(value) and word.isascii() and not set(word) & set("_ n")


def test_a_missing_value_is_named():
    with pytest.raises(Refusal, match=r"w needs --cells \(.*\): give it a value"):
        options.parse(Required, [], "w")
    assert "--cells N" in option_help.describe(Required)
    with pytest.raises(Refusal, match=r"export needs --to \(.*\): give it one of csv, parquet, json"):
        options.with_words(export.Options, ["STUDY"], "export")
    assert "in each direction [required]" in option_help.describe(Required)


def test_a_type_that_cannot_be_an_option_is_refused():
    @dataclass
    class Wrong:
        table: dict[str, int] = dataclasses.field(default_factory=dict)

    with pytest.raises(Refusal, match="an option cannot have the type dict"):
        options.parse(Wrong, ["--table", "a"])


@dataclass(frozen=True, kw_only=True)
class Spread(Base):
    """Its comments stand in all the places where people put them."""

    # above it, in
    # two lines
    above: int = 1
    behind: int = 2  # behind it

    # and this is for the next
    last: tuple[int, ...] = dataclasses.field(
        default=(1, 2),  # within it,
        metadata={"separator": ","},
    )  # and behind
    # and below
    text: str = "a # that is none"
    """In a string after it."""
    both: int = dataclasses.field(default=3, metadata={"help": "in its metadata"})
    nothing: int = 4


def test_help_is_found_wherever_it_stands():
    lines = [" ".join(line.split()) for line in option_help.describe(Spread).splitlines()[1:]]
    assert lines == [
        "--above N above it, in two lines [1]",
        "--behind N behind it [2]",
        "--last N,... within it, and behind and below [1,2]",
        "--text TEXT In a string after it. [a # that is none]",
        "--both N in its metadata [3]",
        "--nothing N (not described: write a comment behind the field nothing) [4]",
        "--seed N of the noise [0]",
    ]
    made = dataclasses.make_dataclass("Made", [("width", int, dataclasses.field(default=1))])  # without any source
    assert "--width N" in option_help.describe(made)


def own_options() -> Iterator[type]:
    """All dataclasses of options that the toolkit has."""
    yield Request
    for module, *_ in VERBS.values():
        if found := getattr(importlib.import_module(module), "Options", None):
            yield found
    yield from map(workload.config_class, workload.known())


@pytest.mark.parametrize("cls", list(own_options()), ids=lambda cls: cls.__module__)
def test_every_option_of_ours_says_what_it_is(cls: type):
    assert "not described" not in option_help.describe(cls)
    for field in dataclasses.fields(cls):
        typed.scalar(typed.hint(cls, field.name))


def test_help_has_every_option_with_type_default_and_comment():
    rows = {line.split()[0].rstrip(","): line for line in option_help.describe(Config).splitlines() if "--" in line}
    switched = {"--position": "--[no-]position"}  # on, unless it is switched off
    assert rows.keys() == {switched.get(flag, flag) for f in dataclasses.fields(Config) for flag in options.flags(f)}
    assert re.fullmatch(r" +--max-width N +channels of the first block \[64\]", rows["--max-width"])
    assert re.fullmatch(r" +--kind plain\|gated +of network \[plain\]", rows["--kind"])
    assert rows["--mirror"].split() == ["--mirror", "each", "example"]
    assert rows["--[no-]position"].endswith("of each cell [on]")
    assert rows["--seed"].endswith("of the noise [0]")
    assert "a comment that goes on in the next line [0.001]" in rows["--rate"]
    assert rows["--masks"].endswith("folder")
