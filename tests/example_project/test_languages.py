"""The example shop and its demo in Russian and Kazakh, and the customer's tracking page."""

import re

import pytest
from django.utils import translation

from example_project.demo.show import Show
from example_project.demo.stories import STRAIGHT, Placed
from example_project.demo.watching import Outcome, Sight
from example_project.shop.forms import CheckoutForm
from example_project.shop.models import Product
from kaspi_delivery_django.models import Delivery
from tests.catalogues import LANGUAGES

pytestmark = pytest.mark.django_db
languages = pytest.mark.parametrize("language", LANGUAGES)
BUY = {"ru": "Заказать и оплатить", "kk": "Тапсырыс беру және төлеу"}  # noqa: RUF001  # Cyrillic is meant
TOTAL = {"ru": "Итого", "kk": "Барлығы"}
TRACKING = {"ru": "Отслеживание", "kk": "Қадағалау"}


@pytest.fixture
def in_language(client, settings):
    """Read the shop's pages as a browser that asks for a language does."""
    middleware = "django.middleware.locale.LocaleMiddleware"
    settings.MIDDLEWARE = [settings.MIDDLEWARE[0], middleware, *settings.MIDDLEWARE[1:]]

    def read(address, language):
        return client.get(address, headers={"accept-language": language}).text

    with translation.override("en"):  # the middleware leaves the language of the last request active
        yield read


@languages
def test_the_pages_of_the_shop_are_translated(in_language, make_order, apples, language):
    """Checkout and order are, and the page says which language it is in."""
    checkout = in_language(apples.get_absolute_url(), language)
    assert f'<html lang="{language}">' in checkout
    assert BUY[language] in checkout
    assert TOTAL[language] in in_language(make_order().get_absolute_url(), language)


@languages
def test_the_checkout_form_is_translated(language):
    """Each label and each hint."""
    texts = [text for field in CheckoutForm().fields.values() for text in (field.label, field.help_text) if text]
    english = [str(text) for text in texts]
    with translation.override(language):
        assert [str(text) for text in texts if str(text) in english] == []


@languages
def test_the_goods_are_translated(language):
    """Those that the migration put on the shelf; a product that staff add is shown as they wrote it."""
    with translation.override(language):
        goods = list(Product.objects.all())
        assert goods
        assert [
            product for product in goods if product.label == product.name or product.text == product.description
        ] == []
        assert Product(name="A new thing").label == "A new thing"


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


def test_an_unpaid_order_has_no_tracking_page(client, make_order):
    """Nothing is on its way."""
    page = client.get(make_order(paid=False).get_absolute_url()).text
    assert not Delivery.objects.exists()
    assert "data-tracking" not in page


class NoStyle:
    """Colours nothing."""

    def __getattr__(self, _name):
        return str


class Stage:
    """A stage with nothing but an address."""

    shop_url = "http://shop"


@languages
def test_the_demo_speaks_the_language(language):
    """Its last lines name the addresses, the customer's tracking page among them."""
    placed = Placed(story=STRAIGHT, url="/orders/1/", number="1", took_s=0.1)
    sight = Sight(status="delivered", delivery_id="dlv_1", tracking="/kaspi/track/token/")
    outcome = Outcome(placed=placed, how=str(STRAIGHT.how), sight=sight, booked=1, wrong=())
    show = Show(stage=Stage(), say=print, style=NoStyle())
    with translation.override(language):
        lines = list(show._addresses([outcome]))
        assert any(line.startswith(TRACKING[language]) and "http://shop/kaspi/track/token/" in line for line in lines)
        assert not any("password" in line for line in lines)
        assert str(STRAIGHT.how) != "delivered without trouble"
