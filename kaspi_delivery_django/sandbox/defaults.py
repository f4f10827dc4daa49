"""The address, key and secret of a local sandbox: published, so no other environment accepts them (as in `conf`)."""

BASE_URL = "http://127.0.0.1:8900"
API_KEY = "kaspi-sandbox-local-key"
WEBHOOK_SECRET = "kaspi-sandbox-local-webhook-secret"  # noqa: S105 - published on purpose
WEBHOOK_URL = "http://127.0.0.1:8000/kaspi/webhook/"
EXAMPLE_ORDER_ID = "order-2024-0191"  # the order of Kaspi's guide, whose next commands use the id of its response
EXAMPLE_DELIVERY_ID = "dlv_01hfz18tnb7tqw"
