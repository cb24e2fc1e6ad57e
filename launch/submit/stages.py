"""The links of a chain: in which order they are made, and the index that makes a folder a chain."""

import graphlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from launch.errors import Refusal, nearest
from launch.record.files import publish_json, read_object
from launch.submit.study import runs_in

INDEX = "chain.json"
"""The links of a chain, in their order: the file that makes a folder a chain."""


class _Entry(TypedDict):
    link: str
    after: list[str]


class _Index(TypedDict):
    links: list[_Entry]


class Link(NamedTuple):
    """A run or a study in a chain."""

    name: str
    after: tuple[str, ...]  # links that must be done before
    folder: Path


def in_order(after: Mapping[str, Sequence[str]]) -> list[str]:
    """The links, each behind those that it comes after.

    Parameters
    ----------
    after : dict of str to sequence of str
        Link -> those that must be done before.

    Raises
    ------
    Refusal
        If one comes after what is no link, or after itself.
    """
    for name, before in after.items():
        if unknown := next((link for link in before if link not in after), None):
            raise Refusal(f"link {name} comes after {unknown!r}, which is no link: {nearest(unknown, after)}")
    try:
        return list(graphlib.TopologicalSorter(after).static_order())
    except graphlib.CycleError as error:
        circle = " after ".join(reversed(error.args[1]))
        raise Refusal(f"links wait for each other: {circle}: leave out one of these") from None


def all_before(after: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """All links that must be done before one, and what must be done before those."""
    return {link for before in after[name] for link in {before} | all_before(after, before)}


def write(folder: Path, links: Sequence[Link]) -> None:
    """Make a folder a chain."""
    publish_json(folder / INDEX, {"links": [{"link": link.name, "after": link.after} for link in links]})


def read(folder: Path) -> list[Link]:
    """The links of a chain, in their order; none where the folder is no chain."""
    index = read_object(folder / INDEX, _Index) or {"links": []}
    return [Link(entry["link"], tuple(entry["after"]), folder / entry["link"]) for entry in index["links"]]


def ended_before(run: Path) -> str:
    """The link because of which a run of a chain could not start, and how that ended; nothing if it is not so."""
    for link in (run, run.parent):  # the run is a link, or its study is
        links = {each.name: each for each in read(link.parent)}
        if link.name in links:
            before = all_before({name: each.after for name, each in links.items()}, link.name)
            for name in (name for name in links if name in before):
                for one in runs_in(links[name].folder):
                    if (ended := one.events("ended")) and one.result() is None:
                        return f"link {name}: {ended[-1]['outcome']}"
    return ""
