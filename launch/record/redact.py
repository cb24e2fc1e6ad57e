"""Removes secrets (passwords, tokens, keys) from what is recorded, or shown and may be passed on. They are recognised
by name, by form, and by entropy.

This module alone decides what a secret is. `without_secrets` takes a value of any shape: a text, the words of a command
line, a table of variables, or what JSON can hold of these.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = "<redacted>"
"""The replacement for a secret."""

# Patterns are compiled by `re` when they are first used: most commands need none of them.
# Names are taken apart into words: dbPassword, DB_PASSWORD and --db-password are db, password.
_PART = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+"
# A name with one of these words names a secret, unless a later word says that it is only something about a secret.
_STRONG = (
    r".*(password|passwd|passphrase|passcode|passwort|secret|credential|apikey|secretkey|privatekey|accesskey)s?|.*pwd|"
    r"creds?|jwt|bearer|authorization|cookie"
)
_KEYS = {"access", "account", "api", "auth", "encryption", "license", "master", "private", "signing", "ssh"}
_ABOUT = set(
    "algorithm arn attempts backend check column count dir enabled env expiry field file files folder format helper "
    "hint host id ids len length limit manager max method min mode name names path paths policy port prompt provider "
    "ref required rotation server size store strength timeout ttl type uri url validation var vault version".split()
)
# A name that ends in one of these usually names a secret, but not with one of those words before it.
_WEAK = {
    ending: set(before.split())
    for ending, before in {
        "token": "additional begin blank bos class cls decoder delimiter empty encoder end eos extra first image "
        "initializer last mask max min n new next num pad per placeholder prompt sep separator special start stop "
        "text trigger unk video word",
        "key": "arrow batch cache class column composite data dataset dict feature field foreign group hash hot image "
        "index input join json label loss lookup map mask metric monitor order output partition primary prompt pub "
        "public query row score shard sort state target text time train unique val",
        "pass": "all backward band bwd by double dry each final first forward fwd high last low multi n next num one "
        "per second single test third two warmup",
        "login": "first last",
        "auth": "",
        "pw": "",
        "signature": "",
        "sig": "",
    }.items()
}
_ENDING = (
    r"\w*(?P<token>token)|(?:bind|db|ldap|mysql|pg|root|ssh|sudo|user|vpn)?(?:(?P<pass>pass)|(?P<pw>pw))|"
    r"(?P<key>key)|(?P<auth>auth)|(?P<login>login)|(?P<signature>signature)|(?P<sig>sig)"
)
# Words for where a secret is used, after the word for the secret: DB_PASS_TEST.
_MEANT_FOR = set("backup base default dev live main new old prod production ro rw sandbox staging test value".split())
# Values that are not secrets under any name, and values that are not under the weaker names.
_NOTHING = r"(?i:none|null|true|false|yes|no|on|off)?|<redacted>|\$\{?\w+\}?|\$\(.*\)|\{\{.*\}\}|\*+|\.{3}"
_ORDINARY = r"[-+]?[0-9.]+(e[-+]?[0-9]+)?|<[^<>]*>|\[[^\[\]]*\]|(\.{0,2}|~)/.*|(?i:basic|digest|kerberos|ldap|munge|oauth2?|ssl|tls|token)"  # noqa: E501

# name = "value", "name": b'value', name: str = f"value", name: value, name("value"), --name value, <name>value</name>
_NAMED = (
    r"""(?<![\w.-])(?P<dash>--?)?(?P<open><)?(?P<name>\w[\w.-]*+)(?:(?P<call>\s*\(\s*(?=[bBfFrRuU]{0,2}\\*["']))|"""
    r"""\\*["']?\]?\s*(?:=>|:=|[=!]?={1,2}|:\s*[A-Za-z_][\w.\[\], |]{0,60}=(?!=)|:(?!//))\s*|(?(open)>|(?!))|(?(dash)\s+(?=[^-\s])|(?!)))"""  # noqa: E501
)
_VALUE = (
    r"""[bBfFrRuU]{0,2}(?P<quote>\\*(?:"{3}|'{3}|["']))(?P<text>(?:\\.|[^\\\n])*?)(?P=quote)|"""
    r"""(?P<word>(?:(?i:bearer|basic|token|digest)\s+)?(?:\$\{[^}]{0,99}\}|\$\([^)]{0,99}\)|[^\s"'`,;&|(){}<>\[\]\\])++)(?!\()"""
)
_READERS = {"ask", "fetch", "find", "get", "has", "is", "load", "lookup", "read", "require"}

# The forms that their issuers have published, all with a fixed beginning; a private key in PEM (RFC 7468); a JSON Web
# Token (RFC 7519), which is what SLURM_JWT holds; what stands before the host of a URL (RFC 3986, section 3.2.1) and in
# an HTTP header (RFC 6750).
_FORM = (
    r"(?s)\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b|\bgh[pousr]_\w{36,}|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20,}|\bhf_\w{30,}|"
    r"\bxox[abeoprs]-[\w-]{10,}|\bsk-[\w-]{20,}|\bAIza[\w-]{35}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|"
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)|(?<=://)[^/\s:@]*:[^/\s]+(?=@)|"
    r"(?<=\bBearer )(?!token|auth)[\w.~+/=-]+"
)

_WORD = r"[A-Za-z0-9+/_-]{20,}={0,2}"
# Random on purpose, but not secrets: digests in hexadecimal and base64, what Spack and Nix append to an installation's
# name, a GPU's UUID.
_KNOWN = r"(?<![A-Za-z0-9])(?:[0-9a-f-]{16,}|[0-9A-F-]{16,})(?![A-Za-z0-9])|(?<=-)[a-z2-7]{32}(?![a-z0-9])|(?<=/nix/store/)[a-z0-9]{32}|(?:GPU|MIG)-[0-9a-f-]{36}|sha[0-9]+-.*"  # noqa: E501


def without_secrets(value: Any) -> Any:
    """Return a value without the parts that look like secrets.

    Parameters
    ----------
    value : str, sequence, mapping, or anything else
        A sequence of texts is taken as a command line, in which ``--password`` says what the next word is. The keys of
        a mapping are taken as names.
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {
            name: HIDDEN if isinstance(inner, str) and is_secret(str(name), inner) else without_secrets(inner)
            for name, inner in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_word(word, before) for before, word in itertools.pairwise(["", *value])]
    return value


def is_secret(name: str, value: str) -> bool:
    """Return whether a variable, option or field of this name holds a secret in this value."""
    parts = [part.lower() for part in re.findall(_PART, name)]
    while len(parts) > 1 and (parts[-1].isdigit() or parts[-1] in _MEANT_FOR):
        parts.pop()
    if not parts or re.fullmatch(_NOTHING, value) or name in ("PWD", "OLDPWD"):
        return False
    for place, part in enumerate(parts):
        if re.fullmatch(_STRONG, part) or part == "key" and place and parts[place - 1] in _KEYS:
            return _ABOUT.isdisjoint(parts[place + 1 :]) and not (part.endswith("pwd") and "/" in value)
    ending = re.fullmatch(_ENDING, parts[-1])
    if not ending or parts[-2:-1] and parts[-2] in _WEAK[str(ending.lastgroup)]:
        return False
    if name.isupper():  # a variable of an environment
        return True
    if ending["key"] or ending["sig"] or ending["signature"]:
        return not re.fullmatch(_ORDINARY, value) and re.search("[0-9]", value) is not None
    return not re.fullmatch(_ORDINARY, value)


def is_random(word: str) -> bool:
    """Return whether a word is random rather than written.

    Two properties show it: its Shannon entropy is near the maximum for its length, and its characters change between
    digits, small and capital letters far more often than in names, paths and versions. Entropy alone is not enough: it
    is 4.0 bits per character for 20 random characters, and as much for a path of 60. The limits were found by trial:
    words of 40 random characters (letters, digits, + and /) are found in 99.9 % of cases, words of 20 in 99.5 %, and
    0.1 % of the paths of files in /usr are taken for secrets. Hexadecimal digits are taken for a commit or a checksum.

    Parameters
    ----------
    word : str
        At least 20 letters, digits, +, /, _ and -.
    """
    word = re.sub(_KNOWN, "", word).rstrip("=")
    parts = re.split("[-_/+]", word)
    if len(word) < 20 or len(parts) > 3 and max(map(len, parts)) <= 8:
        return False
    if len(parts) > 1 and all(re.fullmatch("[a-z]*[0-9]*", part) for part in parts):
        return False  # n1-width512-dropout0: the name of a run
    if word.startswith("/") or word.count("/") > 3:
        return any(map(is_random, parts))
    if re.search("[A-Z]", word) and sum(map(len, re.findall("[A-Z]?[a-z]{2,}", word))) > 0.7 * len(word):
        return False  # LikeThis
    entropy = -sum(n / len(word) * math.log2(n / len(word)) for n in Counter(word).values())
    changes, pairs = 0, 0
    for one, other in itertools.pairwise(word):
        if one.isalnum() and other.isalnum():
            pairs += 1
            # A small letter after a capital one is the beginning of a word.
            changes += _class(one) != _class(other) and not (one.isupper() and other.islower())
    return bool(pairs) and changes >= 0.18 * pairs and entropy >= 0.78 * math.log2(min(len(word), 40))


def _class(character: str) -> int:
    return character.isdigit() + 2 * character.isupper()


def _word(word: Any, before: Any) -> Any:
    """Return a word of a command line, or another item of a list, without secrets."""
    if not isinstance(word, str):
        return without_secrets(word)
    name, equals, value = word.partition("=")
    if equals and re.fullmatch(r"-*[A-Za-z_][\w.-]*", name) and is_secret(name, value):
        return f"{name}={HIDDEN}"
    if isinstance(before, str) and re.fullmatch(r"--?[A-Za-z_][\w.-]*", before) and not word.startswith("-"):
        if is_secret(before, word) or before == "--user" and re.fullmatch(r"[^:/\s]+:(?![0-9]+$)[^/].*", word):
            return HIDDEN
    return _text(word)


def _text(text: str) -> str:
    text = re.sub(_FORM, HIDDEN, text)
    kept, end = "", 0
    for named in re.finditer(_NAMED, text):
        name = named["name"]
        if named.start() < end or not is_secret(name, "x1") or named["call"] and not _sets(name):
            continue
        value = re.compile(_VALUE).match(text, named.end())
        if value is None:
            continue
        group = "text" if value["quote"] else "word"
        prose = (
            re.search(r"\w +$", text[max(0, named.start() - 9) : named.start()])
            and ":" in named[0]
            and value[group].isalpha()
        )
        if not prose and is_secret(name, value[group]):
            kept, end = kept + text[end : value.start(group)] + HIDDEN, value.end(group)
    return re.sub(_WORD, lambda match: HIDDEN if is_random(match[0]) else match[0], kept + text[end:])


def _sets(function: str) -> bool:
    """Return whether a function of this name takes a secret, rather than the name of one."""
    first, *_ = re.findall(_PART, function.rpartition(".")[2]) or [""]
    return first.lower() not in _READERS
