"""Staff with chosen permissions, and a delivery to work on."""

import pytest
from django.contrib.auth.models import Permission, User
from django.utils.html import strip_tags


def message_text(page):
    """Return the page's messages as one text without markup, each on lines of its own."""
    lines = (str(message).replace("</div>", "</div>\n") for message in page.context["messages"])
    return strip_tags("\n".join(lines))


@pytest.fixture
def staff(client):
    """Log in somebody of the staff with these permissions."""

    def log_in(*codenames):
        user, _created = User.objects.get_or_create(username="operator", is_staff=True)
        names = ["view_delivery", *codenames]
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        client.force_login(user)
        return client

    return log_in
