"""Settings of the test suite. DATABASE picks the engine: sqlite, postgresql or mariadb.

KASPI_THEME picks the admin's theme: unfold or jazzmin, which tox's environment `themes` installs; none is Django's own.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import django

from tests import databases

SECRET_KEY = "tests"
USE_TZ = True
TIME_ZONE = "Asia/Almaty"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
LOCALE_PATHS = [Path(__file__).resolve().parent.parent / "example_project" / "locale"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "kaspi_delivery_django",
    "kaspi_delivery_django.api",
    "tests.messages.apps.Unconnected",
    "tests.relay.apps.Unconnected",
    "tests.shop",
    "tests.keys",
    "example_project.shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
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
            ]
        },
    }
]
if theme := os.environ.get("KASPI_THEME"):
    INSTALLED_APPS.insert(0, theme)
JAZZMIN_SETTINGS = {"use_google_fonts_cdn": False}
JAZZMIN_UI_TWEAKS = {"default_theme_mode": "auto"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if find_spec("django_tasks_db"):  # only where tests/engines are run
    INSTALLED_APPS += ["django_tasks_db"] if django.VERSION >= (6,) else ["django_tasks", "django_tasks_db"]
    TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
DATABASES = {"default": databases.settings(os.environ.get("DATABASE", "sqlite"))}
if name := os.environ.get("TEST_DATABASE_NAME"):  # a process that a test started
    DATABASES["default"]["NAME"] = name
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
}
KASPI_DELIVERY = {
    "API_KEY": "test-api-key",
    "WEBHOOK_SECRETS": ["a-webhook-secret-of-thirty-two-chars-or-more"],
    "ENVIRONMENT": "sandbox",
    "BASE_URL": "http://localhost:1/delivery",
    "ORDER_ADAPTERS": ["tests.shop.adapters.OrderAdapter"],
    "RUNNER": "worker",
    "MAX_REQUESTS_PER_SECOND": None,
}
