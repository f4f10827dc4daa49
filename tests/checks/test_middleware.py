"""The check of the host's middleware: red and green."""

import pytest
from django.db import transaction

from tests.checks.samples import GOOD


def wrapping(get_response):
    """Wrap every view in a transaction, as a host may."""

    def middleware(request):
        with transaction.atomic():
            return get_response(request)

    return middleware


class ExemptingMiddleware:
    """Wrap every view but the webhook's."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if request.path_info.startswith("/kaspi/"):  # kaspi_delivery commits by itself
            return self.get_response(request)
        with transaction.atomic():
            return self.get_response(request)


def harmless(get_response):
    """Change nothing."""
    return get_response


def test_w022_a_middleware_that_wraps_views_in_a_transaction(found, settings):
    """Every webhook would be answered 503: the check names it before Kaspi does."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.wrapping"]
    messages = found(**GOOD)
    assert list(messages) == ["W022"]
    assert f"{__name__}.wrapping" in messages["W022"].msg
    assert "outside of atomic()" in messages["W022"].hint


@pytest.mark.parametrize("name", ["ExemptingMiddleware", "harmless", "missing"])
def test_w022_is_silent_for_what_leaves_the_webhook_alone(found, settings, name):
    """And for what cannot be read, which Django reports."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.{name}"]
    assert found(**GOOD) == {}
