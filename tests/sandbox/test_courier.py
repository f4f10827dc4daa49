from kaspi_delivery_django.sandbox.deliveries import ROUTE
from kaspi_delivery_django.sandbox.server import Courier


def test_the_whole_route(partner, kaspi, clock):
    """Step by step a delivery passes every status and stays delivered."""
    delivery_id = partner.book()
    courier = Courier(kaspi, pace_s=10)
    for _ in range(len(ROUTE) + 1):
        clock.tick(10)
        courier.step(clock())
    passed = [entry["status"] for entry in kaspi.deliveries[delivery_id].history]
    assert passed == list(ROUTE)


def test_nothing_moves_before_its_time(partner, kaspi, clock):
    """A delivery stays in a status for the pace."""
    delivery_id = partner.book()
    Courier(kaspi, pace_s=10).step(clock() + 9.9)
    assert kaspi.deliveries[delivery_id].status == "created"


def test_one_status_at_a_time(partner, kaspi, clock):
    """However late the step, no status is skipped."""
    delivery_id = partner.book()
    Courier(kaspi, pace_s=10).step(clock() + 1000)
    assert kaspi.deliveries[delivery_id].status == "accepted"


def test_a_cancelled_delivery_stays(partner, kaspi, clock):
    """The courier does not touch what is cancelled."""
    delivery_id = partner.book()
    partner.cancel(delivery_id)
    Courier(kaspi, pace_s=10).step(clock() + 1000)
    assert kaspi.deliveries[delivery_id].status == "cancelled"


def test_a_slow_cancel_is_carried_out(partner, kaspi, clock):
    """An accepted cancel takes effect at the next step, with its reason, before the pace."""
    kaspi.cancel_is_slow = True
    delivery_id = partner.book()
    partner.cancel(delivery_id, reason="Late")
    Courier(kaspi, pace_s=10).step(clock())
    record = kaspi.deliveries[delivery_id]
    assert (record.status, record.history[-1]["notes"]) == ("cancelled", "Late")


def test_a_slow_cancel_may_come_too_late(partner, kaspi, clock):
    """A pickup in between wins over an accepted cancel."""
    kaspi.cancel_is_slow = True
    delivery_id = partner.book()
    partner.cancel(delivery_id)
    kaspi.move(delivery_id, "in_transit")
    Courier(kaspi, pace_s=10).step(clock())
    assert kaspi.deliveries[delivery_id].status == "in_transit"
