"""Kaspi's webhook and the customers' pages: `path("kaspi/", include("kaspi_delivery_django.urls"))`."""

from collections.abc import Callable
from typing import TypeVar

from django.db import connections, transaction
from django.http import HttpResponseBase
from django.urls import path, re_path

from kaspi_delivery_django.views import AccountWebhookView, TrackingView, WebhookView, tracking_page

app_name = "kaspi_delivery"

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


def _outside_transactions(view: View) -> View:
    """Exempt a view from ATOMIC_REQUESTS on every database.

    A rollback would undo a stored event, and an unsigned request must not open a transaction.
    """
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


webhook = _outside_transactions(WebhookView.as_view())
account_webhook = _outside_transactions(AccountWebhookView.as_view())
page = _outside_transactions(tracking_page)
endpoint = _outside_transactions(TrackingView.as_view())

urlpatterns = [
    re_path(r"^webhook/?$", webhook, name="webhook"),
    re_path(r"^webhook/(?P<account>[A-Za-z0-9_-]{1,40})/?$", account_webhook, name="account-webhook"),
    path("track/<str:token>/", page, name="tracking"),
    path("track/<str:token>", page),  # mail programs may drop the slash
    path("api/track/<str:token>/", endpoint, name="tracking-api"),
]
