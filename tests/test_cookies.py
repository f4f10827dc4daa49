"""Cookies are dropped from requests to the webhook before the host's middleware sees them."""

import pytest
from django.urls import path

from kaspi_delivery_django.receivers import drop_cookies
from kaspi_delivery_django.views import WebhookView

urlpatterns = [path("hooks/by-hand/", WebhookView.as_view()), path("hooks/own/", lambda _request: None)]


def environ_of(where):
    """Return what is left of a WSGI request with a cookie."""
    environ = {"PATH_INFO": where, "HTTP_COOKIE": "sessionid=x"}
    drop_cookies(environ=environ)
    return environ


def scope_of(where, **changes):
    """Return the headers that are left of an ASGI request with a cookie."""
    scope = {"path": where, "headers": [(b"cookie", b"sessionid=x"), (b"accept", b"*/*")], **changes}
    drop_cookies(scope=scope)
    return scope["headers"]


@pytest.mark.parametrize("where", ["/kaspi/webhook/", "/kaspi/webhook", "/kaspi/webhook/almaty/"])
def test_a_request_to_the_webhook_has_no_cookies(where):
    """Under WSGI and ASGI."""
    assert "HTTP_COOKIE" not in environ_of(where)
    assert scope_of(where) == [(b"accept", b"*/*")]
    assert scope_of(f"/prefix{where}", root_path="/prefix") == [(b"accept", b"*/*")]


@pytest.mark.parametrize("where", ["/", "/admin/", "/kaspi/track/x/", "/kaspi/webhooks/", "/hook/\x00", ""])
def test_any_other_request_keeps_its_cookies(where):
    """They are the host's."""
    assert environ_of(where)["HTTP_COOKIE"] == "sessionid=x"
    assert len(scope_of(where)) == 2


def test_a_view_that_is_routed_by_hand_is_found(settings):
    """By its class, not by its name; the host's own hook keeps its cookies."""
    settings.ROOT_URLCONF = __name__
    assert "HTTP_COOKIE" not in environ_of("/hooks/by-hand/")
    assert "HTTP_COOKIE" in environ_of("/hooks/own/")


def test_a_urlconf_that_cannot_be_imported_raises_nothing_here(settings):
    """The request itself fails later, with an answer; one without cookies resolves nothing."""
    settings.ROOT_URLCONF = "tests.views.no_such_module"
    assert "HTTP_COOKIE" in environ_of("/kaspi/webhook/")
    environ = {"PATH_INFO": "/kaspi/webhook/"}
    drop_cookies(environ=environ)
    assert environ == {"PATH_INFO": "/kaspi/webhook/"}
