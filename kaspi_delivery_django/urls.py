"""Kaspi's webhook: `path("kaspi/", include("kaspi_delivery_django.urls"))`."""

from django.db import connections, transaction
from django.urls import re_path

from kaspi_delivery_django.views import WebhookView

app_name = "kaspi_delivery"

webhook = WebhookView.as_view()
for _alias in connections:  # ATOMIC_REQUESTS must not undo a stored event, on any database
    webhook = transaction.non_atomic_requests(using=_alias)(webhook)

urlpatterns = [
    re_path(r"^webhook/?$", webhook, name="webhook"),
    re_path(r"^webhook/(?P<account>[A-Za-z0-9_-]{1,40})/?$", webhook, name="account-webhook"),
]
