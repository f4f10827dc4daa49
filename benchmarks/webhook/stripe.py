"""dj-stripe's webhook, set up as a shop has it after its first event: account and key are known, nothing is fetched."""

from django.apps import apps
from django.urls import reverse

from benchmarks.webhook.requests import STRIPE_SECRET
from benchmarks.webhook.settings import STRIPE_TEST_SECRET_KEY

NAMES = ("Account", "APIKey", "WebhookEndpoint")


def endpoint() -> str:
    """Register an endpoint whose events are verified by their signature; return its path."""
    account_model, key_model, endpoint_model = map(apps.get_app_config("djstripe").get_model, NAMES)
    account, _ = account_model._default_manager.get_or_create(id="acct_benchmark", defaults={"livemode": False})
    key = {"type": "secret", "livemode": False, "djstripe_owner_account": account}
    key_model._default_manager.get_or_create(secret=STRIPE_TEST_SECRET_KEY, defaults=key)
    row, _ = endpoint_model._default_manager.get_or_create(
        id="we_benchmark",
        defaults={
            "secret": STRIPE_SECRET,
            "url": "https://shop.invalid/stripe/",
            "enabled_events": ["*"],
            "livemode": False,
            "djstripe_owner_account": account,
            "djstripe_validation_method": "verify_signature",
        },
    )
    return reverse("djstripe:djstripe_webhook_by_uuid", args=[vars(row)["djstripe_uuid"]])
