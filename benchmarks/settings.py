"""The test project as benchmarks run it. The environment names its database and its Kaspi."""

import os
from typing import Any

from benchmarks import kaspi
from tests.settings import *  # noqa: F403  # the same project
from tests.settings import DATABASES
from tests.settings import KASPI_DELIVERY as TESTS

OWN: dict[str, Any] = {
    "BASE_URL": os.environ.get(kaspi.BASE_URL, "http://127.0.0.1:1/delivery"),
    "ORDER_ADAPTERS": ["benchmarks.rows.EverythingAdapter"],
    "ACCOUNTS": {
        "almaty": {"API_KEY": "second-api-key", "WEBHOOK_SECRETS": ["another-secret-of-thirty-two-chars-or-more"]}
    },
}
KASPI_DELIVERY = {**TESTS, **OWN}
DATABASES["default"]["CONN_MAX_AGE"] = None
DEBUG = False
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"file": {"class": "logging.FileHandler", "filename": os.devnull}},
    "root": {"handlers": ["file"], "level": "INFO"},
}
