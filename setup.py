"""Give package indexes a README whose links work there. Everything else is in setup.cfg and pyproject.toml.

`Source` in setup.cfg's `project_urls` is the one place that names where the repository is. Until there is one, the
index gets README.md without its relative links, since they would lead nowhere.
"""

import re
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\[\]]*)\]\((?!\w+:|#)(?P<path>[^()\s]+)\)")


def for_index(text: str, source: str | None, version: str) -> str:
    """Return Markdown with its relative links as URLs of the release's tag; as plain text without a `source`."""

    def replace(link: re.Match[str]) -> str:
        if source is None:
            return "" if link["image"] else link["text"]
        kind = "raw" if link["image"] else "blob"
        return f"{link['image']}[{link['text']}]({source.rstrip('/')}/{kind}/v{version}/{link['path']})"

    return LINK.sub(replace, text)


def source_url(text: str) -> str | None:
    """Return the URL that the text of a setup.cfg names as `Source`."""
    read = ConfigParser()
    read.read_string(text)
    named = read.get("metadata", "project_urls", fallback="").strip().splitlines()
    urls = dict(re.split(r"\s*=\s*", line.strip(), maxsplit=1) for line in named)
    return urls.get("Source")


if __name__ == "__main__":
    from setuptools import setup

    package = (ROOT / "kaspi_delivery_django" / "__init__.py").read_text(encoding="utf-8")
    number = re.search(r'^__version__ = "(.+)"$', package, re.MULTILINE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    source = source_url((ROOT / "setup.cfg").read_text(encoding="utf-8"))
    setup(long_description=for_index(readme, source, number[1] if number else ""))
