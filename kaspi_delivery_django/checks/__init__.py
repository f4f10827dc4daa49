"""System checks: one per mistake, with a hint what to write. No network; no database but for `migrate`."""

from django.core import checks

from kaspi_delivery_django.checks.adapters import (
    check_accounts_of_adapters,
    check_adapters,
    check_key_texts,
    check_order_pages,
    check_primary_keys,
)
from kaspi_delivery_django.checks.databases import (
    check_character_set,
    check_connections,
    check_databases,
    check_routers,
    check_sqlite,
)
from kaspi_delivery_django.checks.installation import (
    check_apps,
    check_generic_relations,
    check_language_prefix,
    check_middleware,
    check_orm_caches,
    check_versions,
    check_webhook_route,
)
from kaspi_delivery_django.checks.settings import (
    check_accounts,
    check_accounts_in_use,
    check_final_statuses,
    check_inline,
    check_optional_apps,
    check_runner,
    check_settings,
    check_shared_credentials,
    check_tracking_hosts,
)

__all__ = [
    "TAG",
    "check_accounts",
    "check_accounts_in_use",
    "check_accounts_of_adapters",
    "check_adapters",
    "check_apps",
    "check_character_set",
    "check_connections",
    "check_databases",
    "check_final_statuses",
    "check_generic_relations",
    "check_inline",
    "check_key_texts",
    "check_language_prefix",
    "check_middleware",
    "check_optional_apps",
    "check_order_pages",
    "check_orm_caches",
    "check_primary_keys",
    "check_routers",
    "check_runner",
    "check_settings",
    "check_shared_credentials",
    "check_sqlite",
    "check_tracking_hosts",
    "check_versions",
    "check_webhook_route",
    "register",
]

TAG = "kaspi_delivery"

ALWAYS = (
    check_settings,
    check_apps,
    check_versions,
    check_webhook_route,
    check_middleware,
    check_accounts,
    check_shared_credentials,
    check_adapters,
    check_primary_keys,
    check_key_texts,
    check_accounts_of_adapters,
    check_order_pages,
    check_databases,
    check_routers,
    check_sqlite,
    check_generic_relations,
    check_language_prefix,
    check_orm_caches,
    check_runner,
    check_tracking_hosts,
    check_final_statuses,
    check_optional_apps,
)
BEFORE_A_DEPLOYMENT = (check_accounts_in_use, check_connections, check_inline)


def register() -> None:
    """Have Django run them with its own; some with `check --deploy` alone."""
    for check in ALWAYS:
        checks.register(check, TAG)
    checks.register(check_character_set, TAG, checks.Tags.database)
    for check in BEFORE_A_DEPLOYMENT:
        checks.register(check, TAG, deploy=True)
