"""The test project as a shop in production. Its database is the one that the process was told."""

from typing import Any

from tests.settings import *  # noqa: F403  # the same project
from tests.settings import DATABASES
from tests.settings import KASPI_DELIVERY as TESTS

PRODUCTION: dict[str, Any] = {
    "ENVIRONMENT": "production",
    "BASE_URL": "https://kaspi.invalid/delivery",
    "ACCOUNTS": {
        "almaty": {"API_KEY": "second-api-key", "WEBHOOK_SECRETS": ["another-secret-of-thirty-two-chars-or-more"]}
    },
}
KASPI_DELIVERY = {**TESTS, **PRODUCTION}
DATABASES["default"]["CONN_MAX_AGE"] = None
DEBUG = False
