"""Secrets - tokens, passwords, keys - taken out of what is recorded or shown: by name, by form, and by entropy."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable

HIDDEN = "<redacted>"
"""What stands in the place of a secret."""

_NAME = re.compile(r"TOKEN|KEY|SECRET|PASSW|PASSPHRASE|CREDENTIAL|JWT", re.IGNORECASE)

# Of options and assignments, where a `--tokenizer` and a `--sort-key` are none: what the name ends in tells.
_ENDING = r"(?:token|secret|passw(?:or)?d|passphrase|credentials?|(?:api|access|auth|private|secret)[-_]?key)"
_OPTION = re.compile(rf"--?[\w-]*{_ENDING}", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"""(?i:\b[\w-]*{_ENDING}["']?\s*[:=]\s*)(?P<quote>["'])(?P<text>[^"'\s\[<{{$][^"'\n]{{3,}})(?P=quote)|"""
    rf"""\b[A-Z0-9_]*(?i:{_ENDING})=(?P<word>[^\s"'$]+)"""
)

# The forms that their issuers have published, all with a fixed beginning; a private key in PEM (RFC 7468); a JSON Web
# Token (RFC 7519), which is what SLURM_JWT holds; and what stands before the host of a URL (RFC 3986, section 3.2.1).
_FORM = re.compile(
    r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b|\bgh[pousr]_\w{36,}|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20,}|\bhf_\w{30,}|"
    r"\bxox[abeoprs]-[\w-]{10,}|\bsk-[\w-]{20,}|\bAIza[\w-]{35}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|"
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",
    re.DOTALL,
)

_WORD = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_LITERAL = re.compile(r"""(?<=["'])(?![0-9a-fA-F]*["'])[A-Za-z0-9+/_-]{20,100}={0,2}(?=["'])""")
# Random by intent, and no secrets: what Spack and Nix append to an installation's name, and a GPU's UUID.
_KNOWN = re.compile(r"(?<=-)[a-z2-7]{32}(?![a-z0-9])|(?<=/nix/store/)[a-z0-9]{32}|(?:GPU|MIG)-[0-9a-f-]{36}")


def is_secret(name: str) -> bool:
    """Whether a variable of this name holds a secret."""
    return _NAME.search(name) is not None


def redact(text: str, source: bool = False) -> str:
    """A text without what in it looks like a secret.

    Parameters
    ----------
    text : str
        The text; of several lines, too.
    source : bool
        It is source code, where hashes and data are random and no secrets: of its random words only those go that are
        the whole of a literal, and not hexadecimal.
    """
    text = _FORM.sub(HIDDEN, text)
    text = _ASSIGNED.sub(_without_value, text)
    if source:
        return _LITERAL.sub(lambda match: HIDDEN if is_random(match[0]) else match[0], text)
    return _WORD.sub(lambda match: HIDDEN if is_random(match[0]) else match[0], text)


def redact_variables(variables: dict[str, str]) -> dict[str, str]:
    """Variables of an environment, with the names of all."""
    return {name: HIDDEN if is_secret(name) else redact(value) for name, value in variables.items()}


def redact_words(words: Iterable[str]) -> list[str]:
    """The words of a command line, also those behind options such as --api-key and --password."""
    found: list[str] = []
    before = ""
    for word in words:
        name, equals, value = word.partition("=")
        if equals and _OPTION.fullmatch(name):
            found.append(word if _is_number(value) else f"{name}={HIDDEN}")
        elif _OPTION.fullmatch(before) and not word.startswith("-") and not _is_number(word):
            found.append(HIDDEN)
        else:
            found.append(redact(word))
        before = word
    return found


def is_random(word: str) -> bool:
    """Whether a word was drawn rather than written.

    Two things tell: its Shannon entropy is near the most that its length allows, and its characters change between
    digits, small and capital letters far more often than names, paths and versions do. The entropy alone would not do:
    of 20 random characters it is 4.0 bits each, of a path of 60 as much. For hexadecimal digits the limit is that of
    Yelp's detect-secrets, 3 bits each; the other two were set by trial: 99.9 % of 40 random characters (letters, digits,
    + and /) and 99.5 % of 20 are found, and 0.1 % of the paths of files in /usr are taken for secrets.

    Parameters
    ----------
    word : str
        20 letters, digits, +, /, _ and - or more.
    """
    word = _KNOWN.sub("", word).rstrip("=")
    if len(word) < 20:
        return False
    entropy = -sum(n / len(word) * math.log2(n / len(word)) for n in Counter(word).values())
    changes, pairs = 0, 0
    for one, other in itertools.pairwise(word):
        if one.isalnum() and other.isalnum():
            pairs += 1
            # Small after capital is how a word begins.
            changes += _class(one) != _class(other) and not (one.isupper() and other.islower())
    if not pairs or changes < 0.18 * pairs:
        return False
    return entropy >= (3.0 if re.fullmatch(r"[0-9a-fA-F]+", word) else 0.78 * math.log2(min(len(word), 64)))


def _class(character: str) -> int:
    return character.isdigit() + 2 * character.isupper()


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _without_value(match: re.Match) -> str:
    group = "word" if match["word"] else "text"
    begin, end = match.start(group) - match.start(), match.end(group) - match.start()
    return match[0][:begin] + HIDDEN + match[0][end:]
