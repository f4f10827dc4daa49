"""The operators' group: made once, completed when it lacks something, never cut back."""

import io

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command

from kaspi_delivery_django.models import Delivery

pytestmark = pytest.mark.django_db(transaction=True)

PAGES = ("delivery", "apicall", "webhookevent", "statuschange", "accountstate")


def make():
    """Run the command; return what it said."""
    out = io.StringIO()
    call_command("kaspi_operators", stdout=out)
    return out.getvalue()


@pytest.fixture
def operator(client):
    """Log in somebody who is in the group, and has no permission of their own."""
    make()
    user = User.objects.create_user("aliya", password="x", is_staff=True)
    user.groups.add(Group.objects.get(name="Kaspi operators"))
    client.force_login(user)
    return client


def test_twice_is_once():
    """It may be run at every deployment."""
    assert make() == "Kaspi operators: 15 permissions given\n"
    assert make() == "Kaspi operators: 0 permissions given\n"


def test_what_the_shop_has_added_stays_and_what_it_lacks_is_given():
    """The shop's own permissions are its own business."""
    make()
    group = Group.objects.get()
    extra = Permission.objects.get(codename="view_user")
    group.permissions.add(extra)
    group.permissions.remove(Permission.objects.get(codename="replay_event"))
    assert make() == "Kaspi operators: 1 permissions given\n"
    assert group.permissions.filter(codename__in=["view_user", "replay_event"]).count() == 2


def test_an_operator_sees_every_page_and_may_do_everything(operator, booked):
    """And edits nothing."""
    for page in PAGES:
        assert operator.get(f"/admin/kaspi_delivery/{page}/").status_code == 200
    for page in ("messages/message", "relay/relayedevent"):
        assert operator.get(f"/admin/kaspi_delivery_{page}/").status_code == 200
    shown = operator.get(f"/admin/kaspi_delivery/delivery/{booked.pk}/change/").content.decode()
    assert booked.dropoff_phone.replace("+", "&#x2B;") in shown or booked.dropoff_phone in shown
    assert f"/delivery/{booked.pk}/do/cancel/" in shown
    assert operator.post(f"/admin/kaspi_delivery/delivery/{booked.pk}/delete/").status_code == 403
    assert Delivery.objects.exists()


@pytest.mark.django_db(transaction=False)  # which gives the permission back
def test_without_the_permissions_it_says_what_to_run():
    """They come with migrate."""
    Permission.objects.filter(codename="replay_event").delete()
    with pytest.raises(CommandError, match=r"run manage\.py migrate first"):
        make()
    assert not Group.objects.exists()
