"""The made-up key and secret of each account in a test."""


def api_key_of(alias: str) -> str:
    """Return the account's API key: what Kaspi knows the shop by."""
    return f"test-key-of-{alias}"


def secret_of(alias: str) -> str:
    """Return the account's webhook secret, long enough to be trusted."""
    return f"the-webhook-secret-in-tests-of-{alias}"
