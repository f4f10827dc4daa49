"""The year's calls to Kaspi, and the tries that failed."""

from benchmarks.year.deliveries import texts
from benchmarks.year.inserts import Insert
from kaspi_delivery_django import lifecycle
from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt

State = ApiCall.State

_STATE = f"""CASE
    WHEN kind = 'create' AND d.attention = 'refused' THEN '{State.REFUSED}'
    WHEN kind = 'create' AND d.attention > '' AND d.status = '' THEN '{State.STUCK}'
    WHEN kind = 'create' AND d.status = '' AND mod(d.id, 5) = 0 THEN '{State.UNKNOWN}'
    WHEN kind = 'create' AND d.status = '' AND mod(d.id, 5) = 1 THEN '{State.SENDING}'
    WHEN kind = 'create' AND d.status = '' THEN '{State.DUE}'
    WHEN kind = 'cancel' AND d.attention = 'cancel_refused' THEN '{State.REFUSED}'
    WHEN kind = 'cancel' AND d.attention = 'cancel_unknown' THEN '{State.STUCK}'
    WHEN kind = 'refresh' AND mod(d.id, 7007) = 0 THEN '{State.ABANDONED}'
    ELSE '{State.DONE}'
END"""
_AT = """CASE kind WHEN 'create' THEN d.created_at WHEN 'cancel' THEN d.cancel_requested_at
    ELSE least(now(), d.created_at + interval '30 minutes') END"""
_PAYLOAD = (
    """CASE kind WHEN 'create' THEN '{"externalOrderId":"' || d.external_order_id"""
    """ || '","pickup":{"address":"' || d.pickup_address || '","contact":{"name":"Warehouse","phone":"'"""
    """ || d.pickup_phone || '"}},"dropoff":{"address":"' || d.dropoff_address || '","contact":{"name":"'"""
    """ || d.dropoff_name || '","phone":"' || d.dropoff_phone || '"}},"parcel":{"description":"'"""
    """ || d.parcel_description || '","weightGrams":' || d.parcel_weight_grams || ',"valueKzt":'"""
    """ || d.parcel_value_kzt || '}}' WHEN 'cancel' THEN '{"reason":"' || d.cancel_reason || '"}' ELSE '' END"""
)
COLUMNS = {
    "delivery_id": "d.id",
    "kind": "kind",
    "idempotency_key": "d.external_order_id || CASE kind WHEN 'create' THEN '' ELSE '-' || kind END",
    "payload": _PAYLOAD,
    "payload_sha256": "CASE kind WHEN 'refresh' THEN '' ELSE md5(kind || d.id) || md5(kind || -d.id) END",
    "api_key_fingerprint": "'0123456789abcdef'",
    "base_url": "'https://kaspi.invalid/delivery'",
    "state": _STATE,
    "attempts": f"CASE {_STATE} WHEN '{State.DUE}' THEN 0 ELSE 1 + (mod(d.id, 40) = 0)::int END",
    "next_attempt_at": f"CASE WHEN {_STATE} = ANY {texts(ApiCall.UNRESOLVED)}"
    " THEN now() + (mod(d.id, 10) - 5) * interval '1 minute' END",
    "unknown_since": f"CASE WHEN {_STATE} = '{State.UNKNOWN}' OR d.attention = 'outcome_unknown' THEN {_AT} END",
    "http_status": f"CASE {_STATE} WHEN '{State.DONE}' THEN 200 WHEN '{State.REFUSED}' THEN 422 END",
    "error_code": f"CASE {_STATE} WHEN '{State.REFUSED}' THEN 'VALIDATION_ERROR' ELSE '' END",
    "reason": f"CASE WHEN {_STATE} = ANY {texts((State.REFUSED, State.STUCK))} THEN d.attention ELSE '' END",
    "queued_at": _AT,
    "created_at": _AT,
    "updated_at": f"{_AT} + interval '2 seconds'",
}
_KINDS = f"""kind = 'create'
    OR kind = 'cancel' AND d.cancel_requested_at IS NOT NULL
    OR kind = 'refresh' AND mod(d.id, 7) = 0 AND d.status = ANY {texts(lifecycle.STATUSES)}"""
_ATTEMPTS = {
    "call_id": "c.id",
    "kind": "c.kind",
    "at": "c.created_at + interval '1 second'",
    "http_status": "(ARRAY[503, 429, NULL, 500])[1 + mod(c.id, 4)]",
    "error": "(ARRAY['ServerError', 'RateLimited', 'ConnectionFailed', 'ServerError'])[1 + mod(c.id, 4)]",
}


def inserts() -> list[Insert]:
    """Return the calls of the deliveries that are there: a create for each, cancels, refreshes."""
    deliveries, calls = Delivery._meta.db_table, ApiCall._meta.db_table
    kinds = "unnest(ARRAY['create', 'cancel', 'refresh']) kind"
    source = f"{deliveries} d CROSS JOIN {kinds} WHERE {_KINDS} ORDER BY d.id, kind"
    failed = f"{calls} c WHERE c.attempts > 1 OR c.state = ANY {texts((State.UNKNOWN, State.STUCK))} ORDER BY c.id"
    return [
        Insert(model=ApiCall, columns=COLUMNS, source=source),
        Insert(model=FailedAttempt, columns=_ATTEMPTS, source=failed),
    ]
