"""Replaces names in braces in the words of a command, as in ``lr={lr}``, by values."""

import re
from collections.abc import Mapping, Sequence


def fill(words: Sequence[str], values: Mapping[str, str]) -> tuple[list[str], set[str]]:
    """Replace names in braces by their values.

    Only the given names count; all other braces, such as those of JSON, stay as they are, and so does ``${lr}``, which
    is a variable of a shell or an interpolation of the program's own. Two pairs of braces around a name mean one pair
    and the name itself, as in Python's ``format``.

    Parameters
    ----------
    words : sequence of str
        Words of the command.
    values : mapping of str to str
        Names, which contain no braces, and their values.

    Returns
    -------
    words : list of str
    used : set of str
        The names that occurred.

    Examples
    --------
    >>> fill(["lr={lr}", '{"a":{"b":{n}}}', "{{lr}}", "${lr}"], {"lr": "0.1", "n": "2"})[0]
    ['lr=0.1', '{"a":{"b":2}}', '{lr}', '${lr}']
    """
    used: set[str] = set()

    def filled(found: re.Match[str]) -> str:
        before, name, after = found.groups()
        pairs = min(len(before), len(after))  # the other braces belong to the text around
        if pairs % 2:
            used.add(name)
            name = values[name]
        left, right = (len(braces) - pairs + pairs // 2 for braces in (before, after))
        return "{" * left + name + "}" * right

    names = "|".join(map(re.escape, values))
    return [re.sub(rf"(?<![${{])(\{{+)({names})(\}}+)", filled, word) if values else word for word in words], used
