"""dj-stripe's webhook after a shop's first event: account and key are stored, nothing is fetched."""

import json
import time
import uuid
from collections.abc import Iterator

from django.apps import apps
from django.urls import reverse

from benchmarks import rows
from benchmarks.stripe_settings import STRIPE_TEST_SECRET_KEY

MODELS = ("Account", "APIKey", "WebhookEndpoint")
SECRET = "whsec_benchmark"


def endpoint() -> str:
    """Register an endpoint whose events are verified by their signature; return its path."""
    account_model, key_model, endpoint_model = map(apps.get_app_config("djstripe").get_model, MODELS)
    account = account_model._default_manager.create(id="acct_benchmark", livemode=False)
    owned = {"livemode": False, "djstripe_owner_account": account}
    key_model._default_manager.create(secret=STRIPE_TEST_SECRET_KEY, type="secret", **owned)
    row = endpoint_model._default_manager.create(
        id="we_benchmark",
        secret=SECRET,
        url="https://shop.invalid/stripe/",
        enabled_events=["*"],
        djstripe_validation_method="verify_signature",
        **owned,
    )
    return reverse("djstripe:djstripe_webhook_by_uuid", args=[vars(row)["djstripe_uuid"]])


def events() -> Iterator[tuple[dict[str, str], bytes]]:
    """Yield headers and body of events that dj-stripe stores without a request to Stripe."""
    while True:
        event = {
            "id": f"evt_{uuid.uuid4().hex}",
            "object": "event",
            "api_version": "2024-06-20",
            "created": int(time.time()),
            "data": {"object": {"object": "balance", "livemode": False}},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": "balance.available",
        }
        body = json.dumps(event).encode()
        stamp = str(int(time.time()))
        yield {"Stripe-Signature": f"t={stamp},v1={rows.mac(SECRET, stamp, body)}"}, body
