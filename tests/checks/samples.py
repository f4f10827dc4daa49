"""Settings that nothing is wrong with."""

SECRET = "a-webhook-secret-of-thirty-two-chars-or-more"
OTHER_SECRET = "another-webhook-secret-of-thirty-two-chars"
ORDERS = "tests.shop.adapters.OrderAdapter"
GOOD = {"API_KEY": "key", "WEBHOOK_SECRETS": [SECRET]}
OTHER = {"API_KEY": "another-key", "WEBHOOK_SECRETS": [OTHER_SECRET]}
LIVE = {**GOOD, "ENVIRONMENT": "production", "RUNNER": "worker"}
