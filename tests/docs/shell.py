"""Shell blocks as data: their commands, with what is set, piped, chained and redirected taken apart."""

import re
import shlex
from dataclasses import dataclass

OPERATORS = {"&&", "||", "|", ";", "&"}
REDIRECTION = re.compile(r"(>>?|<)&?")
ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>.*)", re.DOTALL)
SCHEDULE = re.compile(r"(?:[-*/,0-9]+\s+){5}(?P<command>.+)")


@dataclass(frozen=True, kw_only=True)
class Command:
    """One simple command: its words, and the variables that are set for it alone."""

    words: tuple[str, ...]
    variables: dict[str, str]


def commands(text):
    """Return the commands of a block, in order."""
    lines = text.replace("\\\n", " ").splitlines()
    return [command for line in lines for command in simple(line)]


def simple(line):
    """Split a line at its operators; redirections are left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split, lexer.commenters = True, "#"
    part = []
    for word in [*lexer, ";"]:
        if word in OPERATORS:
            yield from command(part)
            part = []
        else:
            part.append(word)


def command(words):
    """Read one simple command, if there is one."""
    words, variables = without_redirections(words), {}
    while words and (found := ASSIGNMENT.fullmatch(words[0])):
        variables[found["name"]] = found["value"]
        words = words[1:]
    if words or variables:
        yield Command(words=tuple(words), variables=variables)


def without_redirections(words):
    """Leave out `> file` and its like."""
    kept, skip = [], False
    for word in words:
        is_redirection = bool(REDIRECTION.fullmatch(word))
        if not (skip or is_redirection):
            kept.append(word)
        skip = is_redirection
    return kept


def scheduled(text):
    """Return the commands of a crontab, of which each line has its five fields."""
    for line in text.splitlines():
        entry = SCHEDULE.fullmatch(line)
        if not entry:
            raise ValueError(f"no line of a crontab: {line!r}")
        yield from simple(entry["command"])
