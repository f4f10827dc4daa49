"""The command that keeps the translations in step with the texts."""

from gettext import GNUTranslations

import pytest

from tests import catalogues

MODULE = """
from functools import partial
from django.utils import translation
from django.utils.translation import gettext, gettext_lazy as _, ngettext_lazy, npgettext, pgettext_lazy

NAME = _("a name" " in two parts")
LATER = partial(gettext, "shown later")
COUNTED = ngettext_lazy("%(n)s row", "%(n)s rows", "n")
KIND = pgettext_lazy("status", "Created")
BOTH = npgettext("page", "a row", "rows", 2)
UNKNOWN = gettext(NAME) + other("not ours")
"""
PAGE = """
<p>
  {% translate "Home" %} {% translate "Back" context "button" %} {{ title|default:_("Untitled") }}
  {% blocktranslate trimmed %}
    Hello,
    {{ name }}
  {% endblocktranslate %}
  {% blocktranslate count n=rows|length %}{{ n }} row{% plural %}{{ n }} rows{% endblocktranslate %}
</p>
"""


@pytest.fixture
def package(tmp_path):
    """A package of one module and one page, whose catalogues are written."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "texts.py").write_text(MODULE)
    (folder / "page.html").write_text(PAGE)
    catalogues.update(folder)
    return folder


def ids(found):
    """Return texts without their places."""
    return {(text.context, text.id) for text in found}


def translate(package, old, new):
    """Edit the Russian catalogue, as a person does, and update it."""
    path = catalogues.po_path("ru", package)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    catalogues.update(package)


HOME = 'msgid "Home"\nmsgstr ""'


def test_modules_and_pages_are_read():
    """Under aliases, in a partial and in filters, with contexts, plurals and trimmed lines; nothing else is."""
    assert ids(catalogues.extract_python(MODULE, "shop/texts.py")) == {
        (None, "a name in two parts"),
        (None, "shown later"),
        (None, ("%(n)s row", "%(n)s rows")),
        ("status", "Created"),
        ("page", ("a row", "rows")),
    }
    assert ids(catalogues.extract_template(PAGE, "shop/page.html")) == {
        (None, "Home"),
        ("button", "Back"),
        (None, "Untitled"),
        (None, "Hello, %(name)s"),
        (None, ("%(n)s row", "%(n)s rows")),
    }


def test_translations_and_the_glossary_are_kept(package):
    """An update compiles them, with Django's rule for the forms of numbers."""
    translate(package, "#\n", "# A glossary.\n")
    translate(package, HOME, HOME[:-1] + 'Начало"')
    for number, word in enumerate(("строка", "строки", "строк")):
        translate(package, f'msgstr[{number}] ""', f'msgstr[{number}] "{word}"')
    path = catalogues.po_path("ru", package)
    assert path.read_text().startswith("# A glossary.\nmsgid")
    with path.with_suffix(".mo").open("rb") as file:
        compiled = GNUTranslations(file)
    assert compiled.gettext("Home") == "Начало"
    forms = {number: compiled.ngettext("%(n)s row", "%(n)s rows", number) for number in (1, 2, 5, 11, 21, 22)}
    assert forms == {1: "строка", 2: "строки", 5: "строк", 11: "строк", 21: "строка", 22: "строки"}


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (PAGE.replace("Home", "Homes"), "'Homes'"),
        ("{% blocktranslate count n=n %}Home{% plural %}Homes{% endblocktranslate %}", "('Home', 'Homes')"),
    ],
)
def test_a_changed_text_comes_in_empty(package, page, text):
    """Nothing is guessed from a text that is alike, or that is counted from now on; the old one goes."""
    translate(package, HOME, HOME[:-1] + 'Начало"')
    (package / "page.html").write_text(page)
    assert {f"ru: new: {text}", "ru: gone: 'Home'"} <= set(catalogues.out_of_date(package))
    catalogues.update(package)
    assert "Начало" not in catalogues.po_path("ru", package).read_text()
    assert f"ru: to be translated: {text}" in catalogues.untranslated(package)


def test_a_partial_translation_is_none(package):
    """Each form is required."""
    translate(package, 'msgstr[0] ""', 'msgstr[0] "строк"')
    assert "ru: to be translated: ('%(n)s row', '%(n)s rows')" in catalogues.untranslated(package)
