"""The documentation as data: pages, with their fenced blocks, headings, links and tables."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,})(?P<language>[^\s`]*)[^`]*$")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\((?P<target>[^()\s]+)\)")
CODE = re.compile(r"`+[^`]+`+")
HEADING = re.compile(r"^#{1,6} +(?P<text>.+?) *#*$")
NO_ANCHOR = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block: where its text begins, and the language that its fence names."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self):
        return f"{self.page}:{self.line} {self.language or 'without a language'}"


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page: its path from the project's root, its blocks, and the lines outside of them."""

    path: str
    blocks: tuple[Block, ...]
    prose: tuple[str, ...]

    @property
    def anchors(self):
        """What a link may name behind `#`, made of the headings as GitHub makes it."""
        found = []
        for line in self.prose:
            if heading := HEADING.match(line):
                text = NO_ANCHOR.sub("", heading["text"].replace("`", "").lower()).replace(" ", "-")
                found.append(f"{text}-{found.count(text)}" if text in found else text)
        return found

    @property
    def links(self):
        """The targets of its links, in the order of the page."""
        bare = (CODE.sub(_keep_brackets, line) for line in self.prose)
        return [link["target"] for line in bare for link in LINK.finditer(line)]

    @property
    def rows(self):
        """The cells of all its tables, row by row, without the heads."""
        for line, following in zip(self.prose, (*self.prose[1:], ""), strict=True):
            if line.startswith("| ") and not following.startswith("| -"):
                yield [cell.strip() for cell in line.strip("| ").split(" | ")]


def _keep_brackets(code):
    """Mask code, in which brackets are no link, and leave its length."""
    return "x" * len(code[0])


@cache
def read(path):
    """Return the page at this path from the project's root."""
    blocks, prose = parse((ROOT / path).read_text(), path)
    return Page(path=path, blocks=blocks, prose=prose)


def parse(text, path):
    """Split a page into its blocks and the lines around them."""
    blocks, prose, inside, opened = [], [], None, None
    for number, line in enumerate(text.splitlines(), start=1):
        if inside is None:
            opened = FENCE.match(line)
            inside = [] if opened else None
            if not opened:
                prose.append(line)
        elif line.strip().startswith(opened["ticks"]) and not line.strip(" `~"):
            start, language = number - len(inside), opened["language"]
            blocks.append(Block(page=path, line=start, language=language, text="\n".join(inside) + "\n"))
            inside = None
        else:
            inside.append(line.removeprefix(opened["indent"]))
    if inside is not None:
        raise ValueError(f"{path} ends inside a block")
    return tuple(blocks), tuple(prose)


def pages():
    """Return every page there is."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [read(path.relative_to(ROOT).as_posix()) for path in sorted(paths)]


def blocks():
    """Return every block of every page."""
    return [block for page in pages() for block in page.blocks]
