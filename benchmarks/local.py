"""The benchmarks' project, whose Kaspi is a server on a port of this machine. What is logged is read by nobody."""

import os
from typing import Any

from benchmarks.settings import *  # noqa: F403  # the same project
from benchmarks.settings import KASPI_DELIVERY as PROJECT

PORT = "BENCHMARK_KASPI_PORT"
KASPI_DELIVERY = {
    **PROJECT,
    "ENVIRONMENT": "sandbox",
    "BASE_URL": f"http://127.0.0.1:{os.environ.get(PORT, '1')}/delivery",
    "MAX_REQUESTS_PER_SECOND": None,
}
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"file": {"class": "logging.FileHandler", "filename": os.devnull}},
    "root": {"handlers": ["file"], "level": "INFO"},
}
