"""The command that keeps the translations in step with the texts."""

from gettext import GNUTranslations
from io import BytesIO

import pytest

from tests import catalogues

MODULE = """
from functools import partial
from django.utils import translation
from django.utils.translation import gettext, gettext_lazy as _, ngettext_lazy, npgettext, pgettext_lazy

NAME = _("a name" " in two parts")
LATER = partial(gettext, "said later")
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
    return [(text.context, text.id) for text in found]


def translate(package, language, **words):
    """Write translations into a catalogue, as a person does."""
    catalogue = catalogues.merge(language, catalogues.extract_all(package), catalogues.read(language, package))
    for source, word in words.items():
        catalogue[source].string = word
    catalogues.po_path(language, package).write_bytes(catalogues.po_bytes(catalogue))


def test_a_module_is_read():
    """Literals of Django's functions are found under their aliases and in a partial; nothing else is."""
    assert set(ids(catalogues.extract_python(MODULE, "shop/texts.py"))) == {
        (None, "a name in two parts"),
        (None, "said later"),
        (None, ("%(n)s row", "%(n)s rows")),
        ("status", "Created"),
        ("page", ("a row", "rows")),
    }


def test_a_page_is_read():
    """Both tags are, with contexts, plurals and trimmed lines, and so is a filter's argument."""
    assert set(ids(catalogues.extract_template(PAGE, "shop/page.html"))) == {
        (None, "Home"),
        ("button", "Back"),
        (None, "Untitled"),
        (None, "Hello, %(name)s"),
        (None, ("%(n)s row", "%(n)s rows")),
    }


def test_places_have_no_line_numbers(package):
    """A text that moves inside its file changes nothing."""
    written = catalogues.po_path("ru", package).read_text()
    assert '#: shop/page.html shop/texts.py\n#, python-format\nmsgid "%(n)s row"\n' in written


def test_writing_twice_changes_nothing(package):
    """Neither a date nor a version is in the files."""
    before = catalogues.files("kk", package)
    catalogues.update(package)
    assert {path: path.read_bytes() for path in before} == before
    assert list(catalogues.out_of_date(package)) == []


def test_a_translation_is_kept(package):
    """An update leaves alone what a person wrote, and compiles it."""
    translate(package, "ru", Home="Начало")
    catalogues.update(package)
    assert catalogues.read("ru", package)["Home"].string == "Начало"
    compiled = catalogues.po_path("ru", package).with_suffix(".mo").read_bytes()
    assert GNUTranslations(BytesIO(compiled)).gettext("Home") == "Начало"


def test_a_glossary_is_kept(package):
    """So is the comment at the top of the file."""
    path = catalogues.po_path("ru", package)
    path.write_text(path.read_text().replace("#\n", "# A glossary.\n", 1))
    catalogues.update(package)
    assert path.read_text().startswith("# A glossary.\nmsgid")


def test_a_changed_text_comes_in_empty(package):
    """Nothing is guessed from a text that is alike, and the old one goes."""
    translate(package, "ru", Home="Начало")
    (package / "page.html").write_text(PAGE.replace("Home", "Homes"))
    assert "ru: new: 'Homes'" in catalogues.out_of_date(package)
    assert "ru: gone: 'Home'" in catalogues.out_of_date(package)
    catalogues.update(package)
    assert "Начало" not in catalogues.po_path("ru", package).read_text()
    assert "ru: to be translated: 'Homes'" in catalogues.untranslated(package)


def test_a_text_that_is_counted_from_now_on_comes_in_empty(package):
    """The translation of a single text is none of a plural."""
    translate(package, "ru", Home="Начало")
    (package / "page.html").write_text("{% blocktranslate count n=n %}Home{% plural %}Homes{% endblocktranslate %}")
    catalogues.update(package)
    assert catalogues.read("ru", package)["Home"].string == ("", "", "", "")


def test_a_missing_form_is_not_translated(package):
    """All four Russian forms are wanted."""
    translate(package, "ru", **{"%(n)s row": ("строка", "строки", "строк", "")})
    assert "ru: to be translated: ('%(n)s row', '%(n)s rows')" in catalogues.untranslated(package)


def test_a_doubted_translation_is_not_translated(package):
    """`fuzzy` is somebody's question."""
    path = catalogues.po_path("kk", package)
    path.write_text(path.read_text().replace('msgid "Home"\nmsgstr ""', '#, fuzzy\nmsgid "Home"\nmsgstr "Үй"'))
    catalogues.update(package)
    assert "kk: to be translated: 'Home'" in catalogues.untranslated(package)


@pytest.mark.parametrize(
    ("language", "forms"),
    [("ru", {1: "0", 2: "1", 5: "2", 11: "2", 21: "0", 22: "1", 25: "2"}), ("kk", {0: "1", 1: "0", 2: "1"})],
)
def test_the_forms_are_djangos(package, language, forms):
    """The header's rule picks the form of each number."""
    count, _rule = catalogues.PLURALS[language]
    translate(package, language, **{"%(n)s row": tuple("0123"[:count])})
    catalogue = GNUTranslations(BytesIO(catalogues.mo_bytes(catalogues.read(language, package))))
    whole = {number: form for number, form in forms.items() if isinstance(number, int)}
    assert {number: catalogue.ngettext("%(n)s row", "%(n)s rows", number) for number in whole} == whole


@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_the_command_says_what_is_left(capsys, monkeypatch, arguments):
    """It ends with 1 only when it was asked to check."""
    monkeypatch.setattr(catalogues, "update", lambda _package: None)
    monkeypatch.setattr(catalogues, "untranslated", lambda _package: ["ru: to be translated: 'Home'"])
    assert catalogues.main(arguments) == len(arguments)
    assert "ru: to be translated: 'Home'\n" in capsys.readouterr().out
