"""The operators' group: made once, completed when it lacks something, never cut back."""

import pytest
from django.contrib.auth.models import Group, Permission, User

from tests.admin.conftest import TABLES, change_page


@pytest.fixture
def make(run):
    """Run the command; return what it printed, or its error."""
    return lambda: "".join(run("kaspi_operators")[1:])


@pytest.mark.django_db
def test_the_group_is_made_once_and_completed(make):
    """It may be run at every deployment; the permissions that the shop has added stay."""
    assert make() == "Kaspi operators: 15 permissions given\n"
    assert make() == "Kaspi operators: 0 permissions given\n"
    group = Group.objects.get()
    group.permissions.add(Permission.objects.get(codename="view_user"))
    group.permissions.remove(Permission.objects.get(codename="replay_event"))
    assert make() == "Kaspi operators: 1 permissions given\n"
    assert group.permissions.filter(codename__in=["view_user", "replay_event"]).count() == 2


@pytest.mark.django_db(transaction=True)
def test_an_operator_can_view_every_page_and_do_everything(make, client, booked):
    """Those of messages and relayed webhooks too, and personal data."""
    make()
    operator = User.objects.create_user("aliya", password="x", is_staff=True)
    operator.groups.add(Group.objects.get(name="Kaspi operators"))
    client.force_login(operator)
    for page in (*(f"/{table}" for table in TABLES), "_messages/message", "_relay/relayedevent"):
        assert client.get(f"/admin/kaspi_delivery{page}/").status_code == 200
    shown = change_page(client, booked)
    assert booked.dropoff_phone in shown
    assert f"/delivery/{booked.pk}/do/cancel/" in shown


@pytest.mark.django_db
def test_without_the_permissions_it_says_what_to_run(make):
    """They come with migrate."""
    Permission.objects.filter(codename="replay_event").delete()
    assert "run manage.py migrate first" in make()
    assert not Group.objects.exists()
