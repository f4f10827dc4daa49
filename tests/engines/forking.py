"""A web server that forks, as gunicorn does after `--preload`: `python -m tests.engines.forking PK PK`.

The parent publishes the first call, the child the second; each ends as Python does.
"""

import os
import sys

import django


def main(first, second):
    django.setup()
    from kaspi_delivery_django.contrib import celery  # noqa: PLC0415  # it needs the settings
    from tests.engines.shop import app  # noqa: PLC0415  # as above

    app.set_default()
    celery.FLUSH_TIMEOUT_S = 30.0  # the machine may be busy
    celery.enqueue(int(first))
    if child := os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    celery.enqueue(int(second))


if __name__ == "__main__":
    main(*sys.argv[1:])
