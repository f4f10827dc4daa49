"""The addresses and keys a developer starts with; published on purpose, worth nothing elsewhere."""

BASE_URL = "http://127.0.0.1:8900"
API_KEY = "kaspi-sandbox-local-key"
WEBHOOK_SECRET = "kaspi-sandbox-local-webhook-secret"  # noqa: S105 - published on purpose
EXAMPLE_ORDER_ID = "order-2024-0191"  # of Kaspi's guide, whose next commands name the id of its answer
EXAMPLE_DELIVERY_ID = "dlv_01hfz18tnb7tqw"
WEBHOOK_URL = "http://127.0.0.1:8000/kaspi/webhook/"
