"""The benchmarks' project with everything that takes a webhook. What is logged is written, and read by nobody."""

import os
from typing import Any

from benchmarks.settings import *  # noqa: F403  # the same project
from benchmarks.settings import INSTALLED_APPS as APPS

ROOT_URLCONF = "benchmarks.webhook.urls"
INSTALLED_APPS = [*APPS, "djstripe"]
STRIPE_TEST_SECRET_KEY = "sk_test_" + "0" * 24
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"file": {"class": "logging.FileHandler", "filename": os.devnull}},
    "root": {"handlers": ["file"], "level": "INFO"},
}
