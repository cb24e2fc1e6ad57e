"""Names in braces among the words of a command, ``lr={lr}``, and the values that take their places."""

import re
from collections.abc import Mapping, Sequence


def fill(words: Sequence[str], values: Mapping[str, str]) -> tuple[list[str], set[str]]:
    """Put values in the places of their names in braces.

    Only the very names count; all other braces, as those of JSON, stay as they are. Two pairs of braces around a name
    stand for one pair and the name itself, as in Python's ``format``.

    Parameters
    ----------
    words : sequence of str
        Of the command.
    values : mapping of str to str
        Name, without any braces in it -> value.

    Returns
    -------
    words : list of str
    used : set of str
        The names that had a place.

    Examples
    --------
    >>> fill(["lr={lr}", '{"a":{"b":{n}}}', "{{lr}}"], {"lr": "0.1", "n": "2"})[0]
    ['lr=0.1', '{"a":{"b":2}}', '{lr}']
    """
    used: set[str] = set()

    def filled(found: re.Match[str]) -> str:
        before, name, after = found.groups()
        pairs = min(len(before), len(after))  # the others belong to what is around
        if pairs % 2:
            used.add(name)
            name = values[name]
        left, right = (len(braces) - pairs + pairs // 2 for braces in (before, after))
        return "{" * left + name + "}" * right

    names = "|".join(map(re.escape, values))
    return [re.sub(rf"(\{{+)({names})(\}}+)", filled, word) if values else word for word in words], used
