"""KASPI_DELIVERY from the process's environment, and from the files that its variables name.

A variable is taken as it stands, without a look-up of what begins with "$", and no error shows what one holds.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

SETTING = "KASPI_DELIVERY"
DEFAULT_ACCOUNT = "default"
MAX_SIGNS = 64 * 1024

Readers = Mapping[str, Callable[[str], Any]]  # from a variable's text


def read() -> dict[str, Any]:
    """Read the environment variables into KASPI_DELIVERY's keys. Raises `ImproperlyConfigured`."""
    of_account: Readers = {
        "API_KEY": str,  # env.str takes "$x" for a variable, and an error would show x
        "WEBHOOK_SECRETS": _list,
        "ENVIRONMENT": str,
        "BASE_URL": str,
    }
    of_all: Readers = {
        "RUNNER": str,
        "MAX_REQUESTS_PER_SECOND": _rate,
        "ACCOUNTS": lambda text: {
            alias: _from_variables(prefix, of_account) for alias, prefix in _prefixes(_list(text)).items()
        },
    }
    of_endpoint: Readers = {"URL": str, "SECRETS": _list, "EVENTS": _list}
    endpoint = _from_variables(f"{SETTING}_RELAY", of_endpoint)
    relay = {"RELAY": {DEFAULT_ACCOUNT: endpoint}} if endpoint.get("URL") else {}
    return {**_from_variables(SETTING, {**of_account, **of_all}), **relay}


def variable_of(alias: str, key: str) -> str:
    """Return the environment variable that `from_env` reads this key of an account from."""
    own = "" if alias == DEFAULT_ACCOUNT else f"{alias.upper().replace('-', '_')}_"
    return f"{SETTING}_{own}{key}"


def _from_variables(prefix: str, readers: Readers) -> dict[str, Any]:
    texts = {key: _variable(f"{prefix}_{key}") for key in readers}
    return {key: readers[key](text) for key, text in texts.items() if text is not None}


def _variable(name: str) -> str | None:
    """Return what a variable holds, or the file that the variable of the same name and _FILE names."""
    variables: Mapping[str, str] = FileAwareMapping(cache=False)
    if path := os.environ.get(f"{name}_FILE"):
        _check_file(path, f"{name}_FILE")
        return variables[name].rstrip("\r\n")
    return variables.get(name)


def _check_file(path: str, name: str) -> None:
    """Refuse a file that cannot be read, or not to its end.

    An error shows the path if it is a whole one: anything else may be the value itself.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(MAX_SIGNS + 1)  # a device has no end
    except (OSError, ValueError) as err:
        if not Path(path).is_absolute():
            raise ImproperlyConfigured(f"{name} must be the path of a file, not the value itself.") from None
        reason = getattr(err, "strerror", None) or "it is no UTF-8 text"
        raise ImproperlyConfigured(f"{name} names {path!r}, which cannot be read: {reason}.") from None
    if len(text) > MAX_SIGNS:
        raise ImproperlyConfigured(f"{name} names a file larger than 64 KiB: name a file that holds the value only.")


def _prefixes(aliases: list[str]) -> dict[str, str]:
    """Return how the variables of each alias begin; no two may begin alike."""
    found = {alias: variable_of(alias, "").removesuffix("_") for alias in aliases}
    for alias, prefix in found.items():
        if prefix == SETTING or list(found.values()).count(prefix) > 1:
            raise ImproperlyConfigured(
                f"{SETTING}_ACCOUNTS names {alias!r}, whose variables would be those of another account:"
                f" choose another alias. {DEFAULT_ACCOUNT!r} is the one without an alias in its variables."
            )
    return found


def _list(text: str) -> list[str]:
    """Return the parts of a list: a file may have each on a line of its own."""
    return [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]


def _rate(text: str) -> float:
    """Read a number. `env.float` would read 1e3 as 13, and 10abc as 10."""
    try:
        return float(text)
    except ValueError:
        raise ImproperlyConfigured(f"{SETTING}_MAX_REQUESTS_PER_SECOND must be a number.") from None
