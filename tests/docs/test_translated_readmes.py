"""README.ru.md and README.kk.md: the two lines and the three steps of README.md, in other words."""

import re

import pytest

from tests.docs import pages

TRANSLATED = ("README.ru.md", "README.kk.md")
STEPS = 6  # the demo, then the blocks of the three steps; the tests' line is the last block
ENGLISH = re.compile(r"\b(?:the|and|with|is|of)\b", re.IGNORECASE)


@pytest.mark.parametrize("path", TRANSLATED)
def test_its_blocks_are_those_of_the_readme(path):
    """What a reader copies is tested once, and the same in each language."""
    (*blocks, last), translated = (
        [(block.language, block.text) for block in pages.read(name).blocks] for name in ("README.md", path)
    )
    assert translated == [*blocks[:STEPS], last]


@pytest.mark.parametrize("path", ["README.md", *TRANSLATED])
def test_each_readme_links_the_others(path):
    """Below the title, where a reader of another language looks."""
    others = {"README.md", *TRANSLATED} - {path}
    assert {link for link in pages.read(path).links if "#" not in link and link.startswith("README")} == others


@pytest.mark.parametrize("path", TRANSLATED)
def test_it_is_translated_and_not_longer_than_its_lines(path):
    """No English sentence is left between the blocks, and lines wrap as in the other pages."""
    prose = pages.read(path).prose
    assert [line for line in prose if ENGLISH.search(re.sub(r"`[^`]*`|\([^()]*\)", "", line))] == []
    assert [line for line in prose if len(line) > 100] == []
