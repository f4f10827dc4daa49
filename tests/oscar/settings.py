"""Settings of the oscar shop: oscar's own minimum, and what docs/oscar.md adds to it."""

import os
import tempfile
from pathlib import Path

import oscar
from oscar.defaults import *

from tests import databases

SCRATCH = Path(tempfile.mkdtemp(prefix="kaspi-delivery-oscar-"))

SECRET_KEY = "tests"
USE_TZ = True
TIME_ZONE = "Asia/Almaty"
ALLOWED_HOSTS = ["*"]
SITE_ID = 1
ROOT_URLCONF = "tests.oscar.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL, MEDIA_URL, MEDIA_ROOT = "/static/", "/media/", SCRATCH / "media"
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES = {"default": databases.settings(os.environ.get("DATABASE", "sqlite"))}
HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
HAYSTACK_SIGNAL_PROCESSOR = "haystack.signals.BaseSignalProcessor"  # the simple backend keeps no index
AUTHENTICATION_BACKENDS = [
    "oscar.apps.customer.auth_backends.EmailBackend",
    "django.contrib.auth.backends.ModelBackend",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "oscar.apps.basket.middleware.BasketMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "oscar.apps.search.context_processors.search_form",
                "oscar.apps.checkout.context_processors.checkout",
                "oscar.apps.communication.notifications.context_processors.notifications",
                "oscar.core.context_processors.metadata",
            ]
        },
    }
]
OSCAR_ALLOW_ANON_CHECKOUT = True
PHONENUMBER_DEFAULT_REGION = "KZ"

# --- what docs/oscar.md adds ---

INSTALLED_APPS = [
    *oscar.INSTALLED_APPS,
    "sorl.thumbnail",
    "rest_framework",
    "kaspi_delivery_django",
    "tests.oscar.parcels",
]
INSTALLED_APPS[INSTALLED_APPS.index("oscar.apps.shipping.apps.ShippingConfig")] = (
    "tests.oscar.shipping.apps.ShippingConfig"
)
MIGRATION_MODULES = {"shipping": "oscar.apps.shipping.migrations"}

OSCAR_DEFAULT_CURRENCY = "KZT"
OSCAR_REQUIRED_ADDRESS_FIELDS = ("first_name", "line1", "line4", "country", "phone_number")
OSCAR_INITIAL_ORDER_STATUS = "Pending"
OSCAR_ORDER_STATUS_PIPELINE = {
    "Pending": ("Paid", "Cancelled"),
    "Paid": ("On the way", "Delivered", "Cancelled"),
    "On the way": ("Delivered",),
    "Delivered": (),
    "Cancelled": (),
}

# --- the tests' own ---

KASPI_DELIVERY = {
    "API_KEY": "test-api-key",
    "WEBHOOK_SECRETS": ["a-webhook-secret-of-thirty-two-chars-or-more"],
    "ENVIRONMENT": "sandbox",
    "BASE_URL": "http://localhost:1/delivery",
    "ORDER_ADAPTERS": ["tests.oscar.parcels.adapter.OscarOrderAdapter"],
}
