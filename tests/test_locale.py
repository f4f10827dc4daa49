"""The catalogues that the package brings: complete, true to the source, and found by Django."""

import re
from pathlib import Path

import django
import pytest
from babel.messages.mofile import read_mo
from django.apps import apps
from django.utils import translation
from django.utils.translation import gettext, ngettext, npgettext, pgettext

from kaspi_delivery_django.models import ApiCall, Attention, Delivery, WebhookEvent
from kaspi_delivery_django.statuses import status_label
from tests import catalogues

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%|\{\w*\}")
LETTER = re.compile("[а-яё]", re.IGNORECASE)  # noqa: RUF001  # Cyrillic is meant
TAG = re.compile(r"</?[a-z]\w*[^>]*>")
PHONE = re.compile(r"\+7(?: \d+)+")
ENDS = ".:;,?!…"
RUSSIAN_FORMS = {1: 0, 2: 1, 5: 2, 11: 2, 21: 0, 22: 1, 25: 2}
KAZAKH_FORMS = {1: 0, 2: 1, 5: 1, 11: 1, 21: 1}

packages = pytest.mark.parametrize("package", catalogues.PACKAGES, ids=lambda package: package.name)
languages = pytest.mark.parametrize("language", catalogues.LANGUAGES)


def messages(language, packages=catalogues.PACKAGES):
    """Return what is translated in the catalogues; one test alone speaks of what is not."""
    found = (message for package in packages for message in catalogues.read(language, package))
    return [message for message in found if message.id and all(forms(message))]


def forms(message):
    """Return a translation's forms, of which a text that is not counted has one."""
    return message.string if message.pluralizable else [message.string]


def pairs(language, packages=catalogues.PACKAGES):
    """Yield each form of each translation beside its source, which is the plural of what is counted."""
    for message in messages(language, packages):
        source = message.id[1] if message.pluralizable else message.id
        yield from ((source, form) for form in forms(message))


def others(language):
    """Yield what Django and the other installed apps translate, without contexts: each text and its translation."""
    places = [Path(django.__path__[0], "conf"), *(Path(app.path) for app in apps.get_app_configs())]
    for place in places:
        path = place / "locale" / language / "LC_MESSAGES" / "django.mo"
        if place != catalogues.PACKAGE and path.exists():
            with path.open("rb") as file:
                found = [message for message in read_mo(file) if message.id and not message.context]
            yield from ((tuple(one.id) if one.pluralizable else one.id, one.string) for one in found)


def sins(language, same):
    """Return the translations that differ from their source in what this reads from both."""
    return [(source, text) for source, text in pairs(language) if same(source) != same(text)]


@packages
def test_the_catalogues_are_up_to_date(package):
    """No text is missing, none is left over, and both files are what `python -m tests.catalogues` writes."""
    assert list(catalogues.out_of_date(package)) == []


@packages
def test_everything_is_translated(package):
    """No translation is empty or fuzzy, and what is counted has all of its forms."""
    assert list(catalogues.untranslated(package)) == []


@packages
@languages
def test_nothing_is_kept_that_is_gone(language, package):
    """A catalogue has no obsolete entries at its end."""
    assert "#~" not in catalogues.po_path(language, package).read_text()


@packages
@languages
def test_a_catalogue_begins_with_its_glossary(language, package):
    """Each term has its word and the reason for it."""
    header = catalogues.po_path(language, package).read_text().partition("msgid")[0]
    assert "# Глоссарий" in header
    assert header.count(";") >= 3


GLOSSARY = {
    "ru": ("Глоссарий", "delivery — доставка", "cancel — отменить", "accepted — курьер назначен", "median — медиана"),
    "kk": ("Глоссарий", "delivery — жеткізу", "cancel — күшін жою", "accepted — курьер тағайындалды"),
}
MASCULINE = re.compile(r"\b(?:Создан|Отменён|Доставлен|Принят)\b", re.IGNORECASE)


@languages
def test_the_glossary_is_at_the_top(language):
    """The words that were chosen, each with a reason, are the first that a translator reads."""
    header = catalogues.po_path(language).read_text().partition("msgid")[0]
    assert [term for term in GLOSSARY[language] if term not in header] == []
    assert header.count(";") >= 15


def test_a_delivery_is_feminine():
    """«Создан» and «Отменён» would agree with the order; «Принят курьером» would say that he has the parcel."""
    assert [text for _source, text in pairs("ru", [catalogues.PACKAGE]) if MASCULINE.search(text)] == []


@languages
def test_no_half_is_no_longer(language):
    """A median is called one: «Половина — не дольше» was not understood."""
    halves = ("Половина", "Жартысы")
    assert [text for _source, text in pairs(language) if text.startswith(halves)] == []


def test_a_cancelled_delivery_was_not_refused():
    """«Бас тарту» is both in Kazakh; Kaspi writes «күшін жою»."""
    assert [text for _source, text in pairs("kk") if "тарт" in text] == []


@languages
def test_quotation_marks_are_the_languages(language):
    """«Ёлочки», which both languages use."""
    assert [text for _source, text in pairs(language) if set(text) & set("“”„") or '"' in TAG.sub("", text)] == []


@languages
def test_numbers_do_not_break(language):
    """Thousands are held together by a space that does not break."""
    assert [text for _source, text in pairs(language) if re.search(r"\d \d{3}(?!\d| )", PHONE.sub("", text))] == []


@packages
@languages
def test_what_django_reads_is_what_people_translate(language, package):
    """The compiled file holds the translations of the other one."""
    compiled = catalogues.po_path(language, package).with_suffix(".mo").read_bytes()
    texts, old = catalogues.extract_all(package), catalogues.read(language, package)
    assert compiled == catalogues.mo_bytes(catalogues.merge(language, texts, old, package))


@languages
def test_no_text_is_translated_otherwise_by_another_app(language):
    """One of the two would be shown for both: a text of ours that has another meaning there has a context here."""
    ours = {message.id: message.string for message in messages(language) if not message.context}
    theirs = list(others(language))
    assert theirs
    assert [(text, known) for text, known in theirs if ours.get(text, known) != known] == []


@languages
def test_translations_are_in_the_languages_letters(language):
    """None is the source once more."""
    assert [text for _source, text in pairs(language) if not LETTER.search(text)] == []


@languages
def test_placeholders_stay(language):
    """Each form names the values that its source names; the order is free."""
    assert sins(language, lambda text: sorted(PLACEHOLDER.findall(text))) == []


@languages
def test_tags_stay(language):
    """The markup is the source's."""
    assert sins(language, lambda text: sorted(TAG.findall(text))) == []


@languages
def test_spaces_at_the_ends_stay(language):
    """What is put together from several texts keeps its spaces."""
    assert sins(language, lambda text: (text[:1].isspace(), text[-1:].isspace())) == []


@languages
def test_the_final_sign_stays(language):
    """A sentence ends as a sentence, a label as a label."""
    assert sins(language, lambda text: text.rstrip()[-1] if text.rstrip()[-1] in ENDS else "") == []


@pytest.mark.parametrize(("language", "numbers"), [("ru", RUSSIAN_FORMS), ("kk", KAZAKH_FORMS)])
def test_what_is_counted_agrees_with_the_number(language, numbers):
    """Django picks the form of the number, 21 as 1 and 22 as 2 in Russian."""
    counted = [message for message in messages(language) if message.pluralizable]
    with translation.override(language):
        for message in counted:
            for number, form in numbers.items():
                assert asked_for(message, number) == message.string[form]


@languages
def test_django_finds_each_translation(language):
    """No catalogue of Django's or of another app has another word for the same text."""
    with translation.override(language):
        for message in messages(language):
            assert asked_for(message, 1) == forms(message)[0]


def asked_for(message, number):
    """Return what Django answers for a message and a number, in the language of the moment."""
    if message.pluralizable:
        return npgettext(message.context, *message.id, number) if message.context else ngettext(*message.id, number)
    return pgettext(message.context, message.id) if message.context else gettext(message.id)


SHOWN = {
    "ru": ("В пути", "Kaspi отклонил запрос", "доставки", "запрос к Kaspi", "применено"),  # noqa: RUF001  # Cyrillic is meant
    "kk": ("Жолда", "Kaspi сұрауды қабылдамады", "жеткізулер", "Kaspi-ге сұрау", "қолданылды"),  # noqa: RUF001  # Cyrillic is meant
}


@languages
def test_people_read_their_language(language):
    """A status, a reason, the names of tables and a state come out translated."""
    with translation.override(language):
        shown = (
            status_label("in_transit"),
            str(Attention.REFUSED.label),
            str(Delivery._meta.verbose_name_plural),
            str(ApiCall._meta.verbose_name),
            str(WebhookEvent.State.APPLIED.label),
        )
    assert shown == SHOWN[language]
