"""The catalogues that the package brings: complete, true to the source, and found by Django."""

import re
from gettext import GNUTranslations
from pathlib import Path

import django
import pytest
from django.apps import apps
from django.utils import translation
from django.utils.translation import gettext, ngettext, npgettext, pgettext

from tests import catalogues

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%|\{\w*\}")
LETTER = re.compile("[а-яё]", re.IGNORECASE)  # noqa: RUF001  # Cyrillic is meant
TAG = re.compile(r"</?[a-z]\w*[^>]*>")
PHONE = re.compile(r"\+7(?: \d+)+")
MASCULINE = re.compile(r"\b(?:Создан|Отменён|Доставлен|Принят)\b", re.IGNORECASE)
FORMS = {"ru": {1: 0, 2: 1, 5: 2, 11: 2, 21: 0, 22: 1, 25: 2}, "kk": {1: 0, 2: 1, 5: 1, 11: 1, 21: 1}}
GLOSSARY = {
    "ru": ("Глоссарий", "delivery — доставка", "cancel — отменить", "accepted — курьер назначен", "median — медиана"),
    "kk": ("Глоссарий", "delivery — жеткізу", "cancel — күшін жою", "accepted — курьер тағайындалды"),
}
CATALOGUES = {
    (language, package): catalogues.read(language, package)
    for language in catalogues.LANGUAGES
    for package in catalogues.PACKAGES
}

languages = pytest.mark.parametrize("language", catalogues.LANGUAGES)


def messages(language):
    """Return what is translated in the catalogues; one test alone is about what is not."""
    found = (message for package in catalogues.PACKAGES for message in CATALOGUES[language, package])
    return [message for message in found if message.id and all(forms(message))]


def forms(message):
    """Return a translation's forms, of which a text that is not counted has one."""
    return message.string if message.pluralizable else [message.string]


def pairs(language):
    """Return each form of each translation beside its source, which is the plural of what is counted."""
    sources = ((message.id[1] if message.pluralizable else message.id, message) for message in messages(language))
    return [(source, form) for source, message in sources for form in forms(message)]


def final_sign(text):
    """Return the sign that ends a sentence."""
    return text.rstrip()[-1] if text.rstrip()[-1] in ".:;,?!…" else ""


@pytest.mark.parametrize("package", catalogues.PACKAGES, ids=lambda package: package.name)
def test_the_catalogues_are_complete(package):
    """Both files are what `python -m tests.catalogues` writes, and nothing is empty or fuzzy."""
    assert list(catalogues.out_of_date(package)) == []
    assert list(catalogues.untranslated(package)) == []


@languages
def test_the_glossary_is_at_the_top(language):
    """The words that were chosen, each with a reason, are the first that a translator reads."""
    for package, (terms, reasons) in zip(
        catalogues.PACKAGES, ((GLOSSARY[language], 15), (("Глоссарий",), 3)), strict=True
    ):
        header = catalogues.po_path(language, package).read_text().partition("msgid")[0]
        assert [term for term in terms if term not in header] == []
        assert header.count(";") >= reasons


SAME = {
    "placeholders": lambda text: sorted(PLACEHOLDER.findall(text)),
    "tags": lambda text: sorted(TAG.findall(text)),
    "spaces at the ends": lambda text: (text[:1].isspace(), text[-1:].isspace()),
    "final sign": final_sign,
}


@languages
@pytest.mark.parametrize("part", SAME)
def test_a_translation_keeps_the_sources(language, part):
    """Values and markup are the source's, in any order; a sentence ends as a sentence."""
    same = SAME[part]
    assert [(source, text) for source, text in pairs(language) if same(source) != same(text)] == []


WRONG = {
    "no letter of the language": lambda text: not LETTER.search(text),
    "quotation marks but «»": lambda text: set(text) & set("“”„") or '"' in TAG.sub("", text),
    "thousands that break": lambda text: re.search(r"\d \d{3}(?!\d| )", PHONE.sub("", text)),
    "a half for a median": lambda text: text.startswith(("Половина", "Жартысы")),
    "a refusal for a cancellation, in Kazakh": lambda text: "тарт" in text,
}


@languages
@pytest.mark.parametrize("fault", WRONG)
def test_no_translation_is_wrong(language, fault):
    """Each of these was once, or misleads readers of one of the languages."""
    assert [text for _source, text in pairs(language) if WRONG[fault](text)] == []


def test_a_delivery_is_feminine():
    """«Создан» would agree with the order; «Принят курьером» would mean that he has the parcel."""
    found = (form for message in CATALOGUES["ru", catalogues.PACKAGE] if message.id for form in forms(message))
    assert [text for text in found if MASCULINE.search(text)] == []


def compiled(place, language):
    """Return what the compiled catalogue of an app holds."""
    path = place / "locale" / language / "LC_MESSAGES" / "django.mo"
    if not path.exists():
        return {}
    with path.open("rb") as file:
        return GNUTranslations(file)._catalog


@languages
def test_no_text_is_translated_otherwise_by_another_app(language):
    """One of the two would be shown for both: a text of ours that has another meaning there has a context here."""
    places = {Path(django.__path__[0], "conf"), *(Path(app.path) for app in apps.get_app_configs())}
    for package in catalogues.PACKAGES:
        ours = compiled(package, language)
        for place in places - {package}:
            theirs = compiled(place, language)
            same = ours.keys() & theirs.keys() - {""}
            assert [(text, theirs[text]) for text in same if theirs[text] != ours[text]] == []


@languages
def test_django_finds_each_translation(language):
    """In the form that agrees with the number: 21 as 1 and 22 as 2 in Russian."""
    with translation.override(language):
        for message in messages(language):
            numbers = FORMS[language] if message.pluralizable else {1: 0}
            for number, form in numbers.items():
                assert translated(message, number) == forms(message)[form]


def translated(message, number):
    """Return Django's translation of a message for a number, in the active language."""
    if message.pluralizable:
        return npgettext(message.context, *message.id, number) if message.context else ngettext(*message.id, number)
    return pgettext(message.context, message.id) if message.context else gettext(message.id)
