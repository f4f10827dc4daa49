"""A status, a time, a number and an error in words, in the reader's language."""

import ast
from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import formats, translation

from kaspi_delivery_django import statuses
from kaspi_delivery_django.formats import DAY_AND_TIME, duration_label, exact_duration_label, number_label, time_label
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.services.deliveries import calls, payloads
from kaspi_delivery_django.services.outbox import sender
from kaspi_delivery_django.statuses import customer_label, status_label
from tests.catalogues import PACKAGE
from tests.test_texts import has_words, name_of, parts_of

LABELS = {  # Russian ones agree with the feminine «доставка»
    "": ("Not booked yet", "Ещё не оформлена", "Әлі ресімделмеген"),
    "created": ("Created", "Создана", "Құрылды"),
    "accepted": ("Accepted", "Курьер назначен", "Курьер тағайындалды"),
    "in_transit": ("In transit", "В пути", "Жолда"),  # noqa: RUF001  # Cyrillic is meant
    "out_for_delivery": ("Out for delivery", "Доставляется", "Жеткізілуде"),
    "delivered": ("Delivered", "Доставлена", "Жеткізілді"),
    "cancelled": ("Cancelled", "Отменена", "Күші жойылды"),
}
ON_THE_WAY = ("The courier is on the way to you", "Курьер едет к вам", "Курьер сізге келе жатыр")
AT_NIGHT = datetime(2026, 11, 3, 16, 8, tzinfo=UTC)  # 21:08 in Almaty
HARD_SPACE = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(("place", "language"), [(0, "en"), (1, "ru"), (2, "kk")])
def test_a_status_is_named_in_the_readers_language(place, language):
    """As a plain text; customers read another name of the last stretch than staff do."""
    with translation.override(language):
        assert {status: status_label(status) for status in statuses.RANKS} == {
            status: labels[place] for status, labels in LABELS.items()
        }
        assert type(status_label("created")) is str
        for_customers = {status: customer_label(status) for status in statuses.RANKS}
        different = {status: text for status, text in for_customers.items() if text != status_label(status)}
    assert different == {"out_for_delivery": ON_THE_WAY[place]}


def test_an_unknown_status_stays_as_it_came():
    """A word that Kaspi adds tomorrow is shown, not hidden."""
    with translation.override("ru"):
        assert [status_label(status) for status in ("returned", "Created")] == ["returned", "Created"]


@pytest.mark.parametrize(
    ("time", "english", "russian"),
    [
        (timedelta(0), "0 s", "0 сек"),
        (timedelta(seconds=-5), "0 s", "0 сек"),
        (timedelta(seconds=59), "59 s", "59 сек"),
        (timedelta(minutes=59, seconds=59), "59 min", "59 мин"),
        (timedelta(minutes=60), "1 h", "1 ч"),
        (timedelta(hours=47, minutes=59), "47 h", "47 ч"),
        (timedelta(days=2), "2 d", "2 д"),
        (timedelta(days=30, hours=5), "30 d", "30 д"),
    ],
)
def test_a_span_of_time_has_one_unit(time, english, russian):
    """The largest that fits, short enough for a column."""
    with translation.override("en"):
        assert duration_label(time) == english
    with translation.override("ru"):
        assert duration_label(time).startswith(russian)


@pytest.mark.parametrize(
    ("seconds", "english", "russian", "kazakh"),
    [
        (0, "0 s", "0 сек", "0 сек"),
        (20, "20 s", "20 сек", "20 сек"),
        (59.6, "1 min", "1 мин", "1 мин"),
        (725, "12 min 5 s", "12 мин 5 сек", "12 мин 5 сек"),
        (3661, "1 h 1 min", "1 ч 1 мин", "1 сағ 1 мин"),
        (3600 + 59.9, "1 h 1 min", "1 ч 1 мин", "1 сағ 1 мин"),
        (108_300, "30 h 5 min", "30 ч 5 мин", "30 сағ 5 мин"),
        (3 * 86_400, "3 d", "3 д", "3 күн"),
        (100 * 3600, "4 d 4 h", "4 д 4 ч", "4 күн 4 сағ"),
    ],
)
def test_a_figure_is_in_the_units_that_fit(seconds, english, russian, kazakh):
    """Two at most: nothing that took a while took 0 of anything."""
    for language, text in (("en", english), ("ru", russian), ("kk", kazakh)):
        with translation.override(language):
            assert exact_duration_label(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("language", "form", "text"),
    [
        ("en", "SHORT_DATETIME_FORMAT", "11/03/2026 9:08 p.m."),
        ("ru", "SHORT_DATETIME_FORMAT", "03.11.2026 21:08"),
        ("kk", "SHORT_DATETIME_FORMAT", "03.11.2026 21:08"),
        ("kk", "DATETIME_FORMAT", "03.11.2026 21:08"),
        ("en", DAY_AND_TIME, "3 November, 21:08"),
        ("ru", DAY_AND_TIME, "3 ноября, 21:08"),
        ("kk", DAY_AND_TIME, "3 қараша, 21:08"),
        ("kk", "j M", "3 қар"),
    ],
)
def test_a_time_is_written_as_the_language_writes_it(language, form, text):
    """By the shop's clock; Kazakh has no English order, no noon, and no capital in a month."""
    with translation.override(language):
        assert time_label(AT_NIGHT, form) == text


def test_a_day_has_no_time_zone():
    """It is written as it is."""
    with translation.override("ru"):
        assert time_label(date(2026, 11, 3), "j M") == "3 ноя"


@pytest.fixture
def no_cached_formats():
    """Forget the formats that Django has read, before and after."""
    formats.reset_format_cache()
    yield
    formats.reset_format_cache()


def test_a_projects_own_kazakh_formats_win(settings, no_cached_formats):
    """Ours are for a project that has none."""
    settings.FORMAT_MODULE_PATH = ["tests.shop.formats"]
    with translation.override("kk"):
        assert time_label(AT_NIGHT) == "2026-11-03"


def test_our_kazakh_formats_can_be_the_projects(settings, no_cached_formats):
    """The setting that the documentation shows makes Django write Kazakh dates on every page."""
    settings.FORMAT_MODULE_PATH = ["kaspi_delivery_django.locale"]
    with translation.override("kk"):
        assert formats.localize(AT_NIGHT) == "03.11.2026 16:08"
        assert formats.number_format(1234567.5, force_grouping=True) == f"1{HARD_SPACE}234{HARD_SPACE}567,5"


@pytest.mark.parametrize(("language", "sign"), [("en", ","), ("ru", HARD_SPACE), ("kk", HARD_SPACE)])
def test_thousands_are_grouped_as_the_language_groups_them(language, sign):
    """A number does not break at the end of a line."""
    with translation.override(language):
        assert number_label(12345) == f"12{sign}345"


@pytest.mark.parametrize(
    ("stored", "russian"),
    [
        (
            "Kaspi answered the booking with an error (status=401 code=unauthorized)",
            "Kaspi ответил ошибкой на оформление (status=401 code=unauthorized)",
        ),
        (
            "Kaspi answered the cancellation with an error, no such address at Kaspi: correct BASE_URL (status=404)",
            "Kaspi ответил ошибкой на отмену, такого адреса у Kaspi нет: исправьте BASE_URL (status=404)",  # noqa: RUF001  # Cyrillic is meant
        ),
        ("no whole answer from Kaspi: ReadTimeout", "ответ Kaspi получен не полностью: ReadTimeout"),
        (
            "no whole answer from Kaspi: the body cannot be decompressed",
            "ответ Kaspi получен не полностью: не удалось распаковать содержимое",
        ),
        (
            "Parcel.weight_grams must be a whole number from 1 to 2147483647: write int(…)",
            "Parcel.weight_grams: нужно целое число от 1 до 2147483647, напишите int(…)",
        ),
        (
            (
                "the recipient's phone (dropoff.contact.phone) must look like +7 727 111 0000: digits only, and an"
                " extension belongs in the notes"
            ),
            (
                "телефон получателя (dropoff.contact.phone): нужен номер вида +7 727 111 0000, только цифры; добавочный"
                " номер напишите в примечаниях"
            ),
        ),
        ("dropoff address is not in Almaty", "dropoff address is not in Almaty"),
        ("ValueError at /srv/shop/kaspi.py:12", "ValueError at /srv/shop/kaspi.py:12"),
        ("", ""),
    ],
)
def test_an_error_of_our_own_is_translated_when_it_is_shown(stored, russian):
    """What Kaspi or the shop's code wrote stays as it is."""
    with translation.override("ru"):
        assert errors.translated(stored) == russian
    with translation.override("en"):
        assert errors.translated(stored) == stored


def raised(*names):
    """Return the texts of the exceptions of these names that the package raises."""
    places = ("client", "services/deliveries", "services/outbox")
    for path in (found for place in places for found in (PACKAGE / place).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and name_of(node.func) in names and node.args and has_words(node.args[0]):
                parts = parts_of(node.args[0])
                yield "".join(part.value if isinstance(part, ast.Constant) else "1" for part in parts)


def test_each_error_of_a_call_can_be_translated():
    """A new one is listed, or shown in English."""
    names = ("NotReached", "OutcomeUnknown", "UnusableAnswer", "ForeignDelivery", "AdapterFailed")
    constants = (payloads.NO_ADAPTER, payloads.NO_REQUEST, payloads.NO_RETURN, calls.NAME_TAKEN, sender.NOT_STORED)
    texts = {*raised(*names), *constants}
    assert len(texts) > len(constants)
    with translation.override("ru"):
        assert [text for text in texts if errors.translated(text) == text] == []
