"""The words of the field: the private ones that the code once had stay out of it.

docs/glossary.md defines the terms that are left.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = {".py", ".md", ".html", ".js", ".ini", ".cfg", ".toml", ".yml"}
EVERYWHERE = (
    r"clerks?",
    r"evening",
    r"glimpses?",
    r"hindrances?",
    r"needless",
    r"teeth",
    r"unpark\w*",
    r"ways? out",
    r"weather",
    r"worlds?",
)
READ_BY_USERS = (
    r"anew",
    r"any more",
    r"bears?",
    r"gave up|giv(?:e|es|en|ing) up",
    r"glances?",
    r"mend(?:s|ed|ing)?",
    r"nobody",
    r"nudg\w+",
    r"persons?",
    r"set(?:s|ting)? aside",
    r"settl\w+",
    r"sins?",
    r"somebody",
    r"standing",
    r"told|untold",
    r"wakes?",
)
PLACES = ("kaspi_delivery_django/", "docs/", "README.md", "SECURITY.md", "CHANGELOG.md")


def texts():
    """Yield (name, text) of the project's files; migrations, translations and this list apart."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        path = ROOT / name
        if path.suffix in SUFFIXES and "/migrations/" not in name and path != Path(__file__) and path.exists():
            yield name, path.read_text()


def found(words, text):
    """Return the places where a word stands by itself, or as a part of a name in snake_case or CamelCase."""
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", text)
    return re.findall(rf"\b(?:{'|'.join(words)})\b", parts, re.IGNORECASE)


def test_no_file_has_a_private_word():
    """Neither in names nor in prose; some words are kept out of the package and the documentation alone."""
    hits = {name: found(EVERYWHERE, text) for name, text in texts()}
    assert hits.keys() > {"kaspi_delivery_django/conf.py", "docs/glossary.md", "tests/conftest.py"}
    for name, text in texts():
        if name.startswith(PLACES):
            hits[name] += found(READ_BY_USERS, text)
    assert {name: words for name, words in hits.items() if words} == {}


def test_words_are_found_in_names_and_prose():
    """The search would prove nothing otherwise."""
    assert found(EVERYWHERE[:1], "a clerk; ClerkUser; clerks_of; a clerkship") == ["clerk", "Clerk", "clerks"]
