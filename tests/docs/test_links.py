"""Every link of the documentation leads somewhere."""

import posixpath
import re

from tests.docs import pages


def lost(page):
    """Yield the relative links of a page that lead to no file, or to no heading of it."""
    for target in page.links:
        path, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = posixpath.normpath(posixpath.join(posixpath.dirname(page.path), path)) if path else page.path
        if not (pages.ROOT / file).exists() or (anchor and anchor not in pages.read(file).anchors):
            yield target


def test_relative_links_lead_to_a_file_and_a_heading():
    """What is named is there, under that heading."""
    found = {page.path: list(lost(page)) for page in pages.pages()}
    assert {path: links for path, links in found.items() if links} == {}


FOR_CONTRIBUTORS = ("CONTRIBUTING.md", "docs/architecture.md", "docs/glossary.md")
PATH = re.compile(r"`([\w./-]+(?:\.(?:py|md|cfg|toml|ini|html|po)|/))`")


def test_each_path_in_the_prose_exists():
    """In the project, or in the package."""
    named = {path for page in FOR_CONTRIBUTORS for line in pages.read(page).prose for path in PATH.findall(line)}
    assert named
    places = (pages.ROOT, pages.ROOT / "kaspi_delivery_django")
    assert sorted(path for path in named if not any((place / path).exists() for place in places)) == []


def test_every_page_can_be_reached_from_the_readme():
    """No page is an orphan."""
    seen, waiting = set(), ["README.md"]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.endswith(".md") or not (pages.ROOT / path).exists():
            continue
        seen.add(path)
        near = (link.partition("#")[0] for link in pages.read(path).links if "://" not in link)
        waiting += [posixpath.normpath(posixpath.join(posixpath.dirname(path), link)) for link in near if link]
    assert {page.path for page in pages.pages()} - seen == {"docs/index.md"}  # the site's own front page


def test_links_and_headings_are_read_as_they_are_shown():
    """Code is no link, a block has no headings, a repeated heading gets a number, and a lost link is found."""
    text = "# `A` b, c!\n# A b c\n`[x](y)` and [z](#a-b-c)\n```sh\n# d\n```\n[lost](docs/settings.md#nothing-like-it)\n"
    blocks, prose = pages.parse(text, "README.md")
    page = pages.Page(path="README.md", blocks=blocks, prose=prose)
    assert page.anchors == ["a-b-c", "a-b-c-1"]
    assert list(lost(page)) == ["#a-b-c", "docs/settings.md#nothing-like-it"]
