from kaspi_delivery_django.sandbox.courier import ROUTE, Courier


def test_the_whole_route(partner, world, clock):
    """Step by step a delivery passes every status and stays delivered."""
    delivery_id = partner.book()
    courier = Courier(world, pace_s=10)
    for _ in range(len(ROUTE) + 1):
        clock.tick(10)
        courier.step(clock())
    passed = [entry["status"] for entry in world.deliveries[delivery_id].history]
    assert passed == list(ROUTE)


def test_nothing_moves_before_its_time(partner, world, clock):
    """A delivery stays in a status for the pace."""
    delivery_id = partner.book()
    Courier(world, pace_s=10).step(clock() + 9.9)
    assert world.deliveries[delivery_id].status == "created"


def test_one_status_at_a_time(partner, world, clock):
    """However late the step, no status is skipped."""
    delivery_id = partner.book()
    Courier(world, pace_s=10).step(clock() + 1000)
    assert world.deliveries[delivery_id].status == "accepted"


def test_a_cancelled_delivery_stays(partner, world, clock):
    """The courier does not touch what is cancelled."""
    delivery_id = partner.book()
    partner.cancel(delivery_id)
    Courier(world, pace_s=10).step(clock() + 1000)
    assert world.deliveries[delivery_id].status == "cancelled"


def test_a_slow_cancel_is_carried_out(partner, world, clock):
    """An accepted cancel takes effect at the next step, with its reason, before the pace."""
    world.cancel_is_slow = True
    delivery_id = partner.book()
    partner.cancel(delivery_id, reason="Late")
    Courier(world, pace_s=10).step(clock())
    record = world.deliveries[delivery_id]
    assert (record.status, record.history[-1]["notes"]) == ("cancelled", "Late")


def test_a_slow_cancel_may_come_too_late(partner, world, clock):
    """A pickup in between wins over an accepted cancel."""
    world.cancel_is_slow = True
    delivery_id = partner.book()
    partner.cancel(delivery_id)
    world.move(delivery_id, "in_transit")
    Courier(world, pace_s=10).step(clock())
    assert world.deliveries[delivery_id].status == "in_transit"
