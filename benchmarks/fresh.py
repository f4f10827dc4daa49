"""A fresh interpreter that sets a shop up, and says how long that took: `python -m benchmarks.fresh app used`.

`app` has our app installed, `used` uses REST framework as a shop with an API does, `urls` imports our addresses,
`env` reads our settings from the environment, `sends` makes a client for Kaspi.
"""

import json
import sys
import time
from importlib import import_module
from typing import Any

APPS = ("django.contrib.contenttypes", "django.contrib.auth", "rest_framework")
OURS = "kaspi_delivery_django"
USED = ("rest_framework.views", "rest_framework.generics", "rest_framework.routers", "rest_framework.serializers")


def main(words: set[str]) -> None:
    """Set it up, and print what that took in milliseconds."""
    began, computed = time.perf_counter(), time.process_time()
    set_up(words)
    elapsed, busy = time.perf_counter() - began, time.process_time() - computed
    known = {*sys.stdlib_module_names, "__main__", "__mp_main__"}
    names = {name.partition(".")[0] for name in sys.modules} - known
    said = {"wall_ms": elapsed * 1000, "cpu_ms": busy * 1000, "count": len(sys.modules), "names": sorted(names)}
    sys.stdout.write(json.dumps(said))


def set_up(words: set[str]) -> None:
    """Do what a process of the shop does before it has anything to do."""
    import_module("django.conf").settings.configure(**_settings(words))
    import_module("django").setup()
    for name in USED if "used" in words else ():
        import_module(name)
    if "urls" in words:
        import_module(f"{OURS}.urls")
    if "sends" in words:
        import_module(f"{OURS}.services.gateway").client_for(import_module(f"{OURS}.conf").account("default"))


def _settings(words: set[str]) -> dict[str, Any]:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    shop: dict[str, Any] = {"SECRET_KEY": "fresh", "USE_TZ": True, "DATABASES": {"default": database}}
    if "app" not in words:
        return {**shop, "INSTALLED_APPS": APPS}
    ours = import_module(f"{OURS}.conf").from_env() if "env" in words else {"API_KEY": "an-api-key"}
    return {**shop, "INSTALLED_APPS": (*APPS, OURS), "KASPI_DELIVERY": ours}


if __name__ == "__main__":
    main(set(sys.argv[1:]))
