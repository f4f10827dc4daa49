"""Keep the translations in step with the texts of the package and of the example shop; needs Babel, no other program.

`python -m tests.catalogues` writes django.po and django.mo, and lists what is to be translated. Translations that exist
are kept, new texts come in empty, and texts that are gone go: nothing is guessed. The comment at the top of a
catalogue, its glossary, is kept.
"""

import argparse
import ast
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "kaspi_delivery_django"
PACKAGES = (PACKAGE, ROOT / "example_project")
DJANGO = "django.utils.translation"
LANGUAGES = ("ru", "kk")
RUSSIAN_FORM = (
    "(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : "
    "n%10==0 || (n%10>=5 && n%10<=9) || (n%100>=11 && n%100<=14)? 2 : 3)"
)
PLURALS = {"ru": (4, RUSSIAN_FORM), "kk": (2, "(n!=1)")}  # as in Django's own catalogues
TEMPLATE_CALLS = {
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}


class Texts(Catalog):
    """A catalogue of one language, whose header holds nothing that changes by itself."""

    def __init__(self, language, header_comment, package=PACKAGE):
        super().__init__(locale=language, header_comment=header_comment, project=package.name, fuzzy=False)

    @property
    def num_plurals(self):
        """How many forms Django counts in, which is not what Babel does."""
        return PLURALS[self.locale.language][0]

    @property
    def mime_headers(self):
        """The header without a date, a tool or a version."""
        count, rule = PLURALS[self.locale.language]
        return [
            ("Project-Id-Version", self.project),
            ("Language", self.locale.language),
            ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=UTF-8"),
            ("Content-Transfer-Encoding", "8bit"),
            ("Plural-Forms", f"nplurals={count}; plural={rule};"),
        ]


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text where it is used. `id` is a pair of singular and plural where it is counted."""

    id: str | tuple[str, str]
    context: str | None
    path: str


def extract_all(package=PACKAGE):
    """Yield every text of the package's modules and pages, in the order of their paths."""
    for path in sorted(package.rglob("*.py")):
        if "migrations" not in path.parts:
            yield from extract_python(path.read_text(), path.relative_to(package.parent).as_posix())
    for path in sorted(package.rglob("*.html")):
        yield from extract_template(path.read_text(), path.relative_to(package.parent).as_posix())


def extract_python(source, path):
    """Yield the literals that Django's functions are called with, under any alias, or will be by a `partial`.

    Babel's own reader takes `gettext` for a call wherever the word stands, so it is not used.
    """
    nodes = list(ast.walk(ast.parse(source))) if DJANGO in source else ()
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == DJANGO]
    known = {alias.asname or alias.name: alias.name for node in imports for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.Call):
            function, *arguments = [node.func, *node.args]
            if getattr(function, "id", "") == "partial":
                function, *arguments = arguments
            prefix, found, _ = known.get(getattr(function, "id", ""), "").partition("gettext")
            if found:
                yield from read_call(prefix, arguments, path)


def read_call(prefix, arguments, path):
    """Yield the text of a call; `p` in the prefix stands for a context, and `n` for a plural."""
    count = len(prefix) + 1
    words = [word.value for word in arguments[:count] if isinstance(word, ast.Constant)]
    if len(words) == count:
        context = words.pop(0) if "p" in prefix else None
        yield Text(id=tuple(words) if "n" in prefix else words[0], context=context, path=path)


def extract_template(source, path):
    """Yield the texts of a page's translate and blocktranslate tags."""
    calls = "\n".join(line.strip() for line in templatize(source).splitlines())
    for _line, found, _comments, context in extract("python", BytesIO(calls.encode()), keywords=TEMPLATE_CALLS):
        yield Text(id=found, context=context, path=path)


def merge(language, texts, old, package=PACKAGE):
    """Return a catalogue of these texts, with the translations and the glossary that the old one has."""
    new = Texts(language, old.header_comment, package)
    for text in texts:
        known = old.get(text.id, text.context)
        kept = known if known and known.id == text.id else None
        new.add(
            text.id,
            string=kept.string if kept else "",
            locations=[(text.path, None)],
            flags=kept.flags if kept else (),
            user_comments=kept.user_comments if kept else (),
            context=text.context,
        )
    return new


def read(language, package=PACKAGE):
    """Return the catalogue that is there; an empty one when there is none."""
    path = po_path(language, package)
    if not path.exists():
        return Texts(language, "#")
    with path.open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def po_path(language, package=PACKAGE):
    """Return where a language's catalogue lies."""
    return package / "locale" / language / "LC_MESSAGES" / "django.po"


def files(language, texts, package=PACKAGE):
    """Return what a language's two files should hold, by their paths: no line numbers, and no wrapped lines."""
    catalogue = merge(language, texts, read(language, package), package)
    po, compiled = BytesIO(), BytesIO()
    write_po(po, catalogue, width=0, sort_output=True, include_lineno=False)
    write_mo(compiled, catalogue)
    path = po_path(language, package)
    return {path: po.getvalue(), path.with_suffix(".mo"): compiled.getvalue()}


def update(package=PACKAGE):
    """Write what is out of date."""
    texts = list(extract_all(package))
    for language in LANGUAGES:
        for path, content in files(language, texts, package).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def out_of_date(package=PACKAGE):
    """Yield what an update would change."""
    texts = list(extract_all(package))
    for language in LANGUAGES:
        written = {label(message) for message in read(language, package)}
        wanted = {label(message) for message in merge(language, texts, Texts(language, "#"))}
        yield from (f"{language}: new: {text}" for text in sorted(wanted - written))
        yield from (f"{language}: gone: {text}" for text in sorted(written - wanted))
        for path, content in files(language, texts, package).items():
            if not path.exists() or path.read_bytes() != content:
                yield f"{language}: not as it would be written: {path.relative_to(package.parent)}"


def untranslated(package=PACKAGE):
    """Yield the texts that have no translation, or not all of its forms, or one that is fuzzy."""
    for language in LANGUAGES:
        for message in read(language, package):
            forms = message.string if message.pluralizable else [message.string]
            if message.fuzzy or not all(forms):
                yield f"{language}: to be translated: {label(message)}"


def label(message):
    """Name a message as it stands in the source."""
    context = f"{message.context!r}: " if message.context else ""
    return f"{context}{message.id!r}"


def main(arguments):
    """Update both packages, and list what is to be translated."""
    parser = argparse.ArgumentParser(prog="python -m tests.catalogues", description=__doc__.splitlines()[0])
    parser.parse_args(arguments)
    for package in PACKAGES:
        update(package)
    missing = [f"{package.name}: {line}" for package in PACKAGES for line in untranslated(package)]
    print("\n".join(missing) or "The catalogues are complete.")  # noqa: T201  # a command prints


if __name__ == "__main__":
    main(sys.argv[1:])
