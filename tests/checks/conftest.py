"""The checks as Django runs them, without a database and without a network."""

import socket

import pytest
from django.contrib import admin
from django.core import checks as django_checks
from django.db import connections

from kaspi_delivery_django import checks
from tests.checks.samples import ORDERS


@pytest.fixture(autouse=True)
def sealed(monkeypatch):
    """Let no check open a socket or ask a database."""

    def refuse(*_args, **_kwargs):
        raise AssertionError("a check went out")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for connection in connections.all():
        monkeypatch.setattr(connection, "connect", refuse)
        monkeypatch.setattr(connection, "cursor", refuse)


@pytest.fixture(autouse=True)
def pages(monkeypatch):
    """Return the only site of the admin, without pages: those of the test shops need adapters of both."""
    site = admin.AdminSite("checked")
    monkeypatch.setattr("django.contrib.admin.sites.all_sites", [site])
    return site


@pytest.fixture
def found(settings):
    """Run the registered checks on a KASPI_DELIVERY; return the messages by their ids."""

    def run(*, debug=False, deploy=False, **raw):
        settings.DEBUG = debug
        settings.KASPI_DELIVERY = {"ORDER_ADAPTERS": [ORDERS], **raw}
        messages = django_checks.run_checks(tags=[checks.TAG], include_deployment_checks=deploy, databases=[])
        return {message.id.removeprefix("kaspi_delivery."): message for message in messages}

    return run
