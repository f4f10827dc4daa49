"""The same two calls by each client: book a delivery with a key, and ask for it. All keep their connections."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import requests
import stripe
from requests.adapters import HTTPAdapter

from benchmarks.client.server import DELIVERY
from kaspi_delivery_django.client import Contact, DeliveryRequest, KaspiClient, Location, Parcel

API_KEY = "the-key-of-a-shop-that-is-none"
KEY = ORDER = str(DELIVERY["externalOrderId"])
MOST_THREADS = 32
TIMEOUT_S = (5, 10)
CONTACT = Contact(name="Айгерим Ким", phone="+7 701 222 0000")
REQUEST = DeliveryRequest(
    external_order_id=ORDER,
    pickup=Location(address="Алматы, Абая 10", contact=CONTACT),
    dropoff=Location(address="Алматы, Сатпаева 2", contact=CONTACT, notes="домофон 42"),
    parcel=Parcel(description="Книги", weight_grams=1200, value_kzt=45000),
)
PAYMENT: stripe.params.PaymentIntentCreateParams = {
    "amount": 45000,
    "currency": "kzt",
    "description": "Книги",
    "metadata": {"order": ORDER, "notes": "домофон 42"},
    "shipping": {"name": CONTACT.name, "phone": CONTACT.phone, "address": {"line1": REQUEST.dropoff.address}},
}


@dataclass(frozen=True, kw_only=True)
class Calls:
    """A client's two calls."""

    book: Callable[[], object]
    ask: Callable[[], object]


@contextmanager
def ours(url: str) -> Iterator[Calls]:
    """Ours, as a shop has it."""
    client = KaspiClient(API_KEY, base_url=url)
    yield Calls(
        book=lambda: client.create_delivery(REQUEST, idempotency_key=KEY),
        ask=lambda: client.get_delivery(DELIVERY["deliveryId"]),
    )
    client.close()


@contextmanager
def session(url: str, *, trust_env: bool = True) -> Iterator[Calls]:
    """A bare session of `requests` with our headers and as large a pool, which reads JSON and checks nothing."""
    address, document = f"{url}/v1/deliveries", REQUEST.to_json()
    with requests.Session() as bare:
        bare.mount("http://", HTTPAdapter(pool_maxsize=MOST_THREADS))
        bare.trust_env = trust_env
        bare.headers.update({"Accept": "application/json", "Accept-Encoding": "identity", "x-api-key": API_KEY})
        own = {"Idempotency-Key": KEY}
        yield Calls(
            book=lambda: bare.post(address, json=document, headers=own, timeout=TIMEOUT_S).json(),
            ask=lambda: bare.get(f"{address}/{DELIVERY['deliveryId']}", timeout=TIMEOUT_S).json(),
        )


@contextmanager
def stripe_python(url: str) -> Iterator[Calls]:
    """Stripe's own client over `requests`: it books a payment with a key, and asks for it."""
    http_client = stripe.RequestsClient()
    client = stripe.StripeClient("sk_test_none", base_addresses={"api": url}, http_client=http_client)
    intents = client.v1.payment_intents
    yield Calls(
        book=lambda: intents.create(PAYMENT, {"idempotency_key": KEY}),
        ask=lambda: intents.retrieve(DELIVERY["deliveryId"]),
    )
    http_client.close()
