"""System checks: one per mistake, with a hint what to write. No network; no database but for `migrate`."""

from django.core import checks

from kaspi_delivery_django.checks import adapters, databases, installation, settings

TAG = "kaspi_delivery"
ALWAYS = (
    settings.check_settings,
    installation.check_apps,
    installation.check_versions,
    installation.check_webhook_route,
    installation.check_middleware,
    settings.check_accounts,
    settings.check_shared_credentials,
    adapters.check_adapters,
    adapters.check_primary_keys,
    adapters.check_key_texts,
    adapters.check_accounts_of_adapters,
    adapters.check_order_pages,
    databases.check_databases,
    databases.check_routers,
    databases.check_sqlite,
    installation.check_generic_relations,
    installation.check_language_prefix,
    installation.check_orm_caches,
    settings.check_runner,
    settings.check_tracking_hosts,
    settings.check_final_statuses,
    settings.check_optional_apps,
)
BEFORE_A_DEPLOYMENT = (settings.check_accounts_in_use, databases.check_connections, settings.check_inline)


def register() -> None:
    """Have Django run them with its own; some with `check --deploy` alone."""
    for check in ALWAYS:
        checks.register(check, TAG)
    checks.register(databases.check_character_set, TAG, checks.Tags.database)
    for check in BEFORE_A_DEPLOYMENT:
        checks.register(check, TAG, deploy=True)
