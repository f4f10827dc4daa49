"""Our OpenAPI description, as drf-spectacular writes it, and documents that are held against it."""

import yaml
from django.core.management import call_command
from jsonschema import Draft202012Validator


def described_by_spectacular(settings, folder):
    """Return the description that `manage.py spectacular` writes, which must be valid and cause no warning."""
    own = {**settings.REST_FRAMEWORK, "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
    settings.REST_FRAMEWORK = own
    file = folder / "schema.yml"
    call_command("spectacular", "--validate", "--fail-on-warn", file=str(file))
    return yaml.safe_load(file.read_text())


def schema_of(described, document):
    """Return the JSON schema behind a body, its references resolved."""
    schema = document["content"]["application/json"]["schema"]
    return resolve(schema, described["components"]["schemas"])


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


def faults(schema, document):
    """Return what a document breaks of its schema; a field that the schema does not name is one."""
    closed = {**schema, "additionalProperties": False}
    return [error.message for error in Draft202012Validator(closed).iter_errors(document)]
