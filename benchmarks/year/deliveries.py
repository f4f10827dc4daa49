"""The year's orders and deliveries: the newest are under way, a few of the last two months need a person."""

from benchmarks.year.inserts import Insert
from kaspi_delivery_django import lifecycle
from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.models.deliveries import PHONE_TAIL_DIGITS
from tests.shop.models import Order

NOT_BOOKED = (
    Attention.ADAPTER_FAILED,
    Attention.REFUSED,
    Attention.OUTCOME_UNKNOWN,
    Attention.KEY_REUSED,
    Attention.TOO_OLD,
    Attention.CONFIGURATION_CHANGED,
)
CANCELS = (Attention.CANCEL_REFUSED, Attention.CANCEL_UNKNOWN)
REASONS = (
    "out of stock",
    "changed their mind",
    "wrong address",
    "found it cheaper",
    "ordered twice",
    "wrong size",
    "too late",
    "paid by mistake",
    "does not answer the phone",
    "will come to the shop",
    "the warehouse is closed",
    "the parcel is damaged",
)
PEOPLE = ("Aigerim", "Nurlan", "Dana", "Yerlan", "Aliya", "Timur", "Madina", "Arman")
STREETS = ("Abay", "Tole bi", "Dostyk", "Satpayev", "Al-Farabi", "Seifullin")
GOODS = ("Books", "Shoes", "A kettle", "A coat", "Toys", "Cosmetics", "A lamp")


def texts(values: tuple[str, ...]) -> str:
    """Return an SQL array of texts."""
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"(ARRAY[{quoted}]::varchar[])"


def one_of(values: tuple[str, ...], number: str) -> str:
    """Return an SQL expression that picks a value by a number."""
    return f"{texts(values)}[1 + mod({number}, {len(values)})]"


_PHONE = "'+77' || lpad(mod(h * 7919 + n, 1000000000)::text, 9, '0')"
_EXTERNAL = "CASE WHEN mod(n, 500) = 250 THEN 'order-' || n - 1 || '-2' ELSE 'order-' || n END"
_DELIVERY_ID = "CASE WHEN status > '' THEN 'dlv_' || left(md5('delivery' || n), 14) END"
_STATUS_AT = f"""CASE
    WHEN status = '{lifecycle.DELIVERED}' THEN least(now(), created + (180 + mod(h, 1200)) * interval '1 minute')
    WHEN status = '{lifecycle.CANCELLED}' THEN least(now(), created + (10 + mod(h, 180)) * interval '1 minute')
    WHEN status > '' THEN created + (now() - created) * 0.9
END"""
_CANCELS = f"(status = '{lifecycle.CANCELLED}' OR attention = ANY {texts(CANCELS)})"
_RAW = (
    """'{"deliveryId": "dlv_' || left(md5('delivery' || n), 14) || '", "externalOrderId": "order-' || n"""
    """ || '", "status": "' || status || '", "trackingUrl": "https://track.kaspi.kz/dlv_'"""
    """ || left(md5('delivery' || n), 14) || '", "eta": {"pickupBy": "' || created || '"}}'"""
)
COLUMNS = {
    "id": "n",
    "account": "CASE WHEN n BETWEEN 31 AND 60 THEN 'almaty' ELSE 'default' END",
    "environment": "CASE WHEN n <= 30 THEN 'sandbox' ELSE 'production' END",
    "content_type_id": "content_type_id",
    "object_id": "CASE WHEN mod(n, 500) = 250 THEN n - 1 ELSE n END",
    "generation": "CASE WHEN mod(n, 500) = 250 THEN 2 ELSE 1 END",
    "external_order_id": _EXTERNAL,
    "delivery_id": _DELIVERY_ID,
    "status": "status",
    "status_at": _STATUS_AT,
    "tracking_url": f"coalesce('https://track.kaspi.kz/' || {_DELIVERY_ID}, '')",
    "pickup_by": "CASE WHEN status > '' THEN created + interval '4 hours' END",
    "delivery_by": "CASE WHEN status > '' THEN created + interval '1 day' END",
    "pickup_address": "'Almaty, Tole bi 2'",
    "pickup_name": "'Warehouse'",
    "pickup_phone": "'+7 727 222 0000'",
    "dropoff_address": f"'Almaty, ' || {one_of(STREETS, 'h')} || ' ' || mod(h, 200) || ', flat ' || mod(n, 90)",
    "dropoff_name": one_of(PEOPLE, "h"),
    "dropoff_phone": _PHONE,
    "phone_tail": f"left(reverse(regexp_replace({_PHONE}, '[^0-9]', '', 'g')), {PHONE_TAIL_DIGITS})",
    "dropoff_notes": "CASE WHEN mod(h, 3) = 0 THEN 'Call ten minutes before' ELSE '' END",
    "parcel_description": one_of(GOODS, "h"),
    "parcel_weight_grams": "200 + mod(h, 9000)",
    "parcel_value_kzt": "1000 + mod(h, 90000)",
    "raw": f"CASE WHEN status > '' THEN {_RAW} ELSE '' END",
    "cancel_requested_at": f"CASE WHEN {_CANCELS} THEN created + interval '9 minutes' END",
    "cancel_reason": f"CASE WHEN {_CANCELS} THEN {one_of(REASONS, 'h')} ELSE '' END",
    "attention": "attention",
    "next_refresh_at": f"CASE WHEN status = ANY {texts(lifecycle.OPEN)}"
    " THEN now() + (mod(h, 30) - 2) * interval '1 minute' END",
    "order_sha256": "md5('order' || n) || md5('order' || -n)",
    "created_at": "created",
    "updated_at": f"coalesce({_STATUS_AT}, created)",
}


def _source(rows: int) -> str:
    """Return the year's numbers: which order, from when, how it stands, and whether it needs a person."""
    due = min(15, rows // 10)
    still_open = max(rows * 3 // 1000, min(60, rows // 4))
    every = max(1, rows // 6 // 20)
    return f"""(
        SELECT *, CASE
            WHEN attention = ANY {texts(NOT_BOOKED)} OR ago < {due} THEN ''
            WHEN attention = ANY {texts(tuple(Attention.values))} THEN '{lifecycle.IN_TRANSIT}'
            WHEN mod(n, 500) = 249 THEN '{lifecycle.CANCELLED}'
            WHEN ago < {still_open} THEN {one_of(lifecycle.OPEN, "h")}
            WHEN mod(h, 20) = 7 THEN '{lifecycle.CANCELLED}'
            ELSE '{lifecycle.DELIVERED}'
        END AS status
        FROM (
            SELECT *, now() - ago * interval '365 days' / {rows} AS created, CASE
                WHEN mod(ago, {every}) = 0 AND (ago - {still_open}) / {every} BETWEEN 1 AND 20
                THEN {one_of(tuple(Attention.values), f"ago / {every}")} ELSE ''
            END AS attention
            FROM (
                SELECT n, {rows} - n AS ago, abs(hashint8(n)::bigint) AS h, kind.id AS content_type_id
                FROM generate_series(1::bigint, {rows}) n, django_content_type kind
                WHERE kind.app_label = 'shop' AND kind.model = 'order'
            ) numbers
        ) flagged
    ) deliveries"""


def inserts(rows: int) -> list[Insert]:
    """Return so many orders, and the delivery of each."""
    orders = Insert(model=Order, columns={"id": "n"}, source=f"generate_series(1, {rows}) n")
    return [orders, Insert(model=Delivery, columns=COLUMNS, source=_source(rows))]
