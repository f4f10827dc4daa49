"""What can go wrong with a call to Kaspi, by name.

Kaspi may be slow, broken or confused, but it does not lie: an answer that nothing was booked is never
set on a call that was.
"""

FOREIGN = b'{"deliveryId": "dlv_foreign", "externalOrderId": "order-foreign", "status": "created"}'
REFUSALS = {f"refused {status}": {"status": status} for status in (302, 400, 401, 403, 404, 405, 413, 422)}
PAUSES = {
    f"429, Retry-After {value}": {"status": 429, "retry_after": value}
    for value in (None, 5, "120", "90000", "Sun, 01 Mar 2026 13:00:00 GMT", "soon", "-1")
}
DOUBTS = {
    "times out": {"latency_s": 60.0},
    "drops before": {"drop": "before"},
    "drops after": {"drop": "after"},
    "cuts the answer": {"truncate": True},
    "answers a page": {"body": b"<html>"},
    "answers nothing usable": {"body": b"{}"},
    "answers about another": {"body": FOREIGN},
    "answers about another, not booked": {"status": 201, "body": FOREIGN},
    "409 in progress": {"status": 409, "code": "in_progress"},
    "409 in progress, booked": {"status": 409, "code": "in_progress", "booked": True},
    "409 mismatch": {"status": 409, "code": "conflict"},
    **{f"{status}": {"status": status} for status in (408, 425, 500, 503)},
    **{f"{status}, booked": {"status": status, "booked": True} for status in (408, 500, 503)},
    "500, booked and stored": {"status": 500, "booked": True, "stored": True},
    "500, stored": {"status": 500, "stored": True},
}
FAULTS = {**REFUSALS, **PAUSES, **DOUBTS}
