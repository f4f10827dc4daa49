"""Our OpenAPI description, as drf-spectacular writes it, and documents that are held against it."""

import tempfile
from functools import cache
from pathlib import Path

import yaml
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings
from jsonschema import Draft202012Validator


@cache
def written():
    """Return the text that `manage.py spectacular` writes, which must be valid and cause no warning."""
    own = {**settings.REST_FRAMEWORK, "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
    with override_settings(REST_FRAMEWORK=own), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "schema.yml"
        call_command("spectacular", "--validate", "--fail-on-warn", file=str(file))
        return file.read_text()


@cache
def described():
    """Return the description, which no test may change."""
    return yaml.load(written(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def faults(response, document, media_type="application/json"):
    """Return what a document breaks of a response's schema; a field that the schema does not name is one."""
    schema = resolve(response["content"][media_type]["schema"], described()["components"]["schemas"])
    closed = {**schema, "additionalProperties": False}
    return [error.message for error in Draft202012Validator(closed).iter_errors(document)]


def resolve(schema, known):
    """Put what is referred to in the place of the reference; OpenAPI 3.0 has a word of its own for null."""
    if isinstance(schema, list):
        return [resolve(part, known) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return resolve(known[schema["$ref"].rsplit("/", 1)[1]], known)
    found = {name: resolve(part, known) for name, part in schema.items() if name != "nullable"}
    return {"anyOf": [found, {"type": "null"}]} if schema.get("nullable") else found
