"""The example shop in Russian and Kazakh, and its link to the tracking page."""

import re

import pytest
from django.utils import translation

from example_project.shop.models import Product
from tests.catalogues import LANGUAGES

pytestmark = pytest.mark.django_db
BUY = {"ru": "Заказать и оплатить", "kk": "Тапсырыс беру және төлеу"}  # noqa: RUF001  # Cyrillic is meant
TOTAL = {"ru": "Итого", "kk": "Барлығы"}


@pytest.fixture
def in_language(client, settings):
    """Read the shop's pages as a browser that asks for a language does."""
    middleware = "django.middleware.locale.LocaleMiddleware"
    settings.MIDDLEWARE = [settings.MIDDLEWARE[0], middleware, *settings.MIDDLEWARE[1:]]

    def read(address, language):
        return client.get(address, headers={"accept-language": language}).text

    with translation.override("en"):  # the middleware leaves the language of the last request active
        yield read


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pages_of_the_shop_are_translated(in_language, make_order, apples, language):
    """Shelf, checkout and order are, and each names its language; goods of staff stay as they were written."""
    Product.objects.create(name="A new thing", price_kzt=1, weight_grams=1)
    shelf = in_language("/example/", language)
    assert "A new thing" in shelf
    assert apples.name not in shelf
    checkout = in_language(apples.get_absolute_url(), language)
    assert f'<html lang="{language}">' in checkout
    assert BUY[language] in checkout
    assert TOTAL[language] in in_language(make_order().get_absolute_url(), language)


def test_a_customer_chooses_a_language(client, in_language):
    """One of the buttons at the foot of each page."""
    client.post("/example/language/", {"language": "kk", "next": "/example/"})
    assert '<html lang="kk">' in client.get("/example/").text


def test_an_order_leads_to_the_tracking_page(client, make_order):
    """The link is the one that the shop would send: no name and no address is on its page."""
    order = make_order()
    link = re.search(r'<a href="([^"]+)" data-tracking>', client.get(order.get_absolute_url()).text)[1]
    page = client.get(link)
    assert page.status_code == 200
    assert "kaspi-timeline" in page.text
    assert order.customer_name not in page.text
