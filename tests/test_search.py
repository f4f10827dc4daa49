"""Search keys: what a delivery is found by, and what staff type, in one form."""

import pytest

from kaspi_delivery_django.models import search


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Order 742", "742"),
        ("order-742", "742"),
        ("ORDER-742-2", "742 2"),
        ("Заказ №2026-00006", "2026 00006"),
        ("2026/00006", "2026 00006"),
        ("shop-KZ742", "kz742"),
        ("Айгерим", "аигерим"),
        ("", ""),
        ("%_", ""),
        ("order-0C7E3A10-9d3b", "0c7e3a10 9d3b"),
        ("9" * 200, "9" * search.KEY_LENGTH),
    ],
)
def test_a_number_has_one_key(text, key):
    """Without its prefix, in any case, whatever stands between its parts."""
    assert search.number_key(text) == key


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("Айгерим Сапарова", ("аигерим сапарова", "сапарова аигерим")),
        ("Сапарова Айгерим Маратовна", ("сапарова аигерим маратовна", "аигерим маратовна сапарова")),
        ("Әсел", ("әсел", "")),
        ("", ("", "")),
    ],
)
def test_a_name_is_found_by_both_of_its_words(name, keys):
    """Whichever the shop writes first."""
    assert (search.words_key(name), search.second_words_key(name)) == keys


@pytest.mark.parametrize(
    ("address", "city"),
    [
        ("Алматы, Сатпаева 2", "алматы"),
        ("Abay 1, Almaty", "almaty"),
        ("г. Алматы, ул. Абая, 10", "алматы"),  # noqa: RUF001  # Cyrillic
        ("Қазақстан, Алматы қаласы, Абай даңғылы, 5", "алматы қаласы"),
        ("Алматинская область, Талгар, ул. Гагарина 3", "талгар"),
        ("050000, Казахстан, Астана, пр. Республики, 7", "астана"),
        ("город Шымкент ул. Тауке хана 1", "шымкент ул тауке хана 1"),
        ("Dostyk Avenue 240", "dostyk avenue 240"),
        ("", ""),
        ("г " * 5000 + "Алматы", "алматы"),  # noqa: RUF001  # Cyrillic
    ],
)
def test_the_city_is_found_in_an_address(address, city):
    """Wherever it stands; an address without commas is kept whole."""
    assert search.city_key(address) == search.words_key(city)
