"""The addresses and keys a developer starts with; published on purpose, worth nothing elsewhere."""

BASE_URL = "http://127.0.0.1:8900"
API_KEY = "kaspi-sandbox-local-key"
WEBHOOK_SECRET = "kaspi-sandbox-local-webhook-secret"  # noqa: S105 - published on purpose
WEBHOOK_URL = "http://127.0.0.1:8000/kaspi/webhook/"
