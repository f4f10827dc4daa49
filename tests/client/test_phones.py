import phonenumbers
import pytest

from kaspi_delivery_django.client import UsageError, normalize_phone, phones
from tests.client.conftest import request_to

WIDE = {sign: sign + 0xFEE0 for sign in b"+0123456789"}  # a full-width form each
SENT_AS = {
    "87271110000": "+7 727 111 0000",
    "7271110000": "+7 727 111 0000",
    "8 (727) 111-00-00": "+7 727 111 0000",
    "\N{LEFT-TO-RIGHT MARK}+7\N{NO-BREAK SPACE}727 111\N{NON-BREAKING HYPHEN}00\N{EN DASH}00\n": "+7 727 111 0000",
    "+77271110000".translate(WIDE): "+7 727 111 0000",
    "٨٧٢٧١١١٠٠٠٠": "+7 727 111 0000",
    "7271110": "7271110",  # a town's own number
    "8 916 123 45 67": "8 916 123 45 67",  # Russian
    "7911123456": "7911123456",  # British: no Kazakh code begins with 79
}


@pytest.mark.parametrize("phone", SENT_AS)
def test_phones(phone):
    """However a Kazakh number is written, it is sent as Kaspi documents it; another one as it is."""
    assert request_to(phone=phone).to_json()["dropoff"]["contact"]["phone"] == SENT_AS[phone] == normalize_phone(phone)


NUMBERS = {"+77271110000": "+7 727 111 0000", "+998901234567": "+998 90 123 45 67", "+390612345678": "+39 06 1234 5678"}


@pytest.mark.parametrize("digits", NUMBERS)
def test_numbers_of_the_library(digits):
    """A PhoneNumber is read, with the zero that an Italian one begins with; foreign ones are grouped as at home."""
    assert normalize_phone(phonenumbers.parse(digits)) == normalize_phone(digits) == NUMBERS[digits]


def test_phones_without_the_library(monkeypatch):
    """Kazakh numbers and PhoneNumbers need none; a foreign number keeps its own form."""
    monkeypatch.setattr(phones, "_library", lambda: None)
    assert normalize_phone(phonenumbers.parse("+77271110000")) == "+7 727 111 0000"
    assert normalize_phone("+998 901234567") == "+998 901234567"


NO_PHONES = [
    "",
    "727111",
    "------------",
    "+7 727 111 0000 ext 5",
    "+7 727 111 0000 0000 00000",
    "7+27 111 0000",
    None,
    87271110000,
    phonenumbers.parse("+7 727 111 0000 ext. 5"),
    phonenumbers.PhoneNumber(raw_input="unknown"),
]


@pytest.mark.parametrize("phone", NO_PHONES)
def test_what_is_no_phone(phone):
    """Anything else is refused; the error names whose phone it is, and what to write, and does not repeat it."""
    message = r"^the recipient's phone \(dropoff\.contact\.phone\) must look like \+7 727 111 0000: [a-z ,]+$"
    with pytest.raises(UsageError, match=message):
        request_to(phone=phone)
    with pytest.raises(UsageError, match=r"the phone must look like \+7 727 111 0000"):
        normalize_phone(phone)
