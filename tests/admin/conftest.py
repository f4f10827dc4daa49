"""Staff with chosen permissions, deliveries to work on, and what their pages show."""

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.html import strip_tags

from kaspi_delivery_django.models import Delivery
from tests.shop.models import Order

FOLDER = "/admin/kaspi_delivery"
LIST = f"{FOLDER}/delivery/"
TABLES = ("delivery", "apicall", "webhookevent", "statuschange", "failedattempt", "pendingaction", "accountstate")
VIEWS = tuple(f"view_{table}" for table in TABLES)


def message_text(page):
    """Return the page's messages as one text without markup, each on lines of its own."""
    lines = (str(message).replace("</div>", "</div>\n") for message in page.context["messages"])
    return strip_tags("\n".join(lines))


def change_page(client, row):
    """Return the text of a row's own page, of ours or of the shop's."""
    answer = client.get(f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/change/")
    assert answer.status_code == 200
    return answer.content.decode().replace("&#x27;", "'").replace("&#x2B;", "+")


def found(client, url, **query):
    """Return the rows that a list shows."""
    page = client.get(url, query)
    assert page.status_code == 200
    return list(page.context["cl"].result_list)


def choose(client, rows, action="cancel_deliveries", *, url=LIST, **more):
    """Choose a bulk action for these rows."""
    return client.post(url, {"action": action, "_selected_action": [row.pk for row in rows], **more}, follow=True)


def statements_of(work):
    """Do some work; return its statements."""
    with CaptureQueriesContext(connection) as captured:
        work()
    return [query["sql"] for query in captured]


def plain(markup):
    """Return the words of some markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", markup).split())


@pytest.fixture
def staff(client):
    """Log in a user of the staff with these permissions."""

    def log_in(*codenames):
        user, _created = User.objects.get_or_create(username="operator", is_staff=True)
        names = ["view_delivery", *codenames]
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def inline(configure):
    """Send each request to Kaspi at once."""
    configure(RUNNER="inline")


@pytest.fixture
def several(drain):
    """Return five booked deliveries, each with its own phone."""
    for number in range(5):
        Order.objects.create(phone=f"+7 701 555 00 {number}{number}")
    drain()
    return list(Delivery.objects.order_by("pk"))
