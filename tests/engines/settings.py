"""The test project as its task workers run it: against the sandbox and the broker that a test names."""

import os

from tests.settings import *  # noqa: F403  # the same project
from tests.settings import KASPI_DELIVERY

KASPI_DELIVERY = {
    **KASPI_DELIVERY,
    "BASE_URL": os.environ["ENGINES_API"],
    "RUNNER": os.environ["ENGINES_RUNNER"],
    "MAX_REQUESTS_PER_SECOND": float(os.environ.get("ENGINES_RATE", "0")) or None,
}
CELERY_BROKER_URL = os.environ.get("ENGINES_BROKER")
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BEAT_SCHEDULE = {
    "kaspi-delivery": {"task": "kaspi_delivery.sweep", "schedule": 1.0, "options": {"expires": 1.0}},
}
