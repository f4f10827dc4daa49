"""Shell blocks as data: their commands, with what is set, piped, chained and redirected taken apart."""

import re
import shlex
from dataclasses import dataclass
from itertools import pairwise

OPERATORS = {"&&", "||", "|", ";", "&"}
REDIRECTION = re.compile(r"(>>?|<)&?")
ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>.*)", re.DOTALL)
NAMES = "SUN|MON|TUE|WED|THU|FRI|SAT|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
FIELDS = rf"@\w+|(?:(?:[-*/,0-9]|{NAMES})+\s+){{4}}(?:[-*/,0-9]|{NAMES})+"
SCHEDULE = re.compile(rf"(?:{FIELDS})\s+(?P<command>.+)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Command:
    """One simple command: its words, and the variables that are set for it alone."""

    words: tuple[str, ...]
    variables: dict[str, str]


def commands(text):
    """Return the commands of a block, in order. Where `$ ` marks commands, the other lines are output."""
    lines = text.splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = list(marked(lines))
    return [command for line in whole(lines) for command in simple(line)]


def marked(lines):
    """Return the lines that a reader types, with what continues them."""
    for typed, _printed in exchanges(lines):
        yield from typed.splitlines()


def exchanges(lines):
    """Yield what is typed after each `$ `, whole, with the lines that it prints."""
    typed, printed = "", []
    for line in lines:
        if typed and not is_complete(typed):
            typed += line + "\n"
        elif line.startswith("$ "):
            if typed:
                yield typed, printed
            typed, printed = line.removeprefix("$ ") + "\n", []
        else:
            printed.append(line)
    if typed:
        yield typed, printed


def whole(lines):
    """Join what a backslash or an open quote continues."""
    waiting = ""
    for line in lines:
        waiting += line + "\n"
        if is_complete(waiting):
            yield waiting.replace("\\\n", " ").strip()
            waiting = ""
    if waiting.strip():
        raise ValueError(f"a command has no end: {waiting!r}")


def is_complete(text):
    """Whether a shell would not wait for more."""
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return not text.endswith("\\\n")


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
    for word, following in pairwise([*words, ""]):
        is_number = word.isdigit() and REDIRECTION.fullmatch(following)
        if not (skip or is_number or REDIRECTION.fullmatch(word)):
            kept.append(word)
        skip = bool(REDIRECTION.fullmatch(word))
    return kept


def scheduled(text):
    """Return the commands of a crontab; each line has its five fields, or is a variable or a comment."""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#") or ASSIGNMENT.fullmatch(line):
            continue
        entry = SCHEDULE.fullmatch(line)
        if not entry:
            raise ValueError(f"no line of a crontab: {line!r}")
        yield from simple(entry["command"].replace(r"\%", "%"))
