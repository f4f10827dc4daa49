"""The words of the field: the private ones that the code once had stay out of it.

docs/glossary.md defines the terms that are left.
"""

import re
import subprocess
from pathlib import Path

import pytest

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
PLACES = ("kaspi_delivery_django", "docs", "README.md", "SECURITY.md", "CHANGELOG.md")


def texts(*places):
    """Yield (name, text) of the project's files; migrations, translations and this list apart."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *places]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        path = ROOT / name
        if path.suffix in SUFFIXES and "/migrations/" not in name and path != Path(__file__) and path.exists():
            yield name, path.read_text()


def found(word, text):
    """Return the places where a word stands by itself, or as a part of a name in snake_case or CamelCase."""
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", text)
    return re.findall(rf"\b(?:{word})\b", parts, re.IGNORECASE)


@pytest.mark.parametrize("word", EVERYWHERE)
def test_no_file_has_the_word(word):
    """Neither in names nor in prose, tests included."""
    assert {name: hits for name, text in texts() if (hits := found(word, text))} == {}


@pytest.mark.parametrize("word", READ_BY_USERS)
def test_no_text_for_users_has_the_word(word):
    """Neither the package nor the documentation."""
    assert {name: hits for name, text in texts(*PLACES) if (hits := found(word, text))} == {}


def test_words_are_found_in_names_and_prose():
    """The search would prove nothing otherwise."""
    assert found(EVERYWHERE[0], "a clerk; ClerkUser; clerks_of; a clerkship") == ["clerk", "Clerk", "clerks"]
    assert {name for name, _text in texts()} > {
        "kaspi_delivery_django/conf.py",
        "docs/glossary.md",
        "tests/conftest.py",
    }
