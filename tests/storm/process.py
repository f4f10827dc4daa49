"""One process of a storm: `python -m tests.storm.process worker THREADS`, or `web PORT`."""

import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import django
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

THREADS = 3


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_arguments):
        """Keep quiet."""


def serve(port):
    """Serve the shop's webhook; each thread keeps its own connection to the database."""
    server = WSGIServer(("127.0.0.1", port), QuietHandler)
    server.set_app(get_wsgi_application())
    threads = [threading.Thread(target=_serve_forever, args=(server,), daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _serve_forever(server):
    while True:
        server.handle_request()


def main(kind, *arguments):
    django.setup()
    from tests.storm import fast  # noqa: PLC0415  # it needs the settings

    with fast.running(fast.FastClock.from_environment()):
        if kind == "worker":
            call_command("kaspi_worker", "--threads", arguments[0])
        else:
            serve(int(arguments[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
