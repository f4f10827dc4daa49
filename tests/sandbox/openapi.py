"""Kaspi's documented API as data: what an answer must look like, and values that a schema allows."""

import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

FACTS = yaml.safe_load(Path(__file__).with_name("openapi.yaml").read_text())
SCHEMAS = FACTS["components"]["schemas"]
OPERATIONS = {operation["operationId"]: operation for path in FACTS["paths"].values() for operation in path.values()}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
TYPES = {"string": str, "integer": int}
FORMATS = FormatChecker(formats=())
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - its bounds are naive
FORMATTED = {
    "date-time": TIMES.map(lambda time: time.strftime("%Y-%m-%dT%H:%M:%SZ")),
    "uri": st.from_regex(r"https?://[a-z]{1,9}\.example(:[1-9][0-9]{0,3})?/[a-z0-9/]{0,9}", fullmatch=True),
}


@FORMATS.checks("date-time")
def is_time(value):
    """Whether this is a time of RFC 3339; a format is a constraint of texts alone."""
    return not isinstance(value, str) or bool(RFC3339.fullmatch(value))


@FORMATS.checks("uri")
def is_uri(value):
    """Whether this is an absolute address."""
    return not isinstance(value, str) or bool(urlsplit(value).scheme)


def faults(name, value):
    """List what keeps a value from being what the schema of this name describes."""
    validator = Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": FACTS["components"]}, format_checker=FORMATS
    )
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def left_out(name, value, but=()):
    """List the documented fields that an object lacks: none of an answer's is required, Kaspi's examples have all."""
    found = []
    for field, schema in resolve(SCHEMAS[name])["properties"].items():
        if field not in value and field not in but:
            found.append(field)
        elif field == "eta":
            found += [inner for inner in resolve(schema)["properties"] if inner not in value[field]]
    return found


def answer_of(operation, status):
    """Return the response that is documented for a status; raise KeyError if none is."""
    response = OPERATIONS[operation]["responses"][str(status)]
    return resolve(response)


def resolve(node):
    """Follow a reference, if it is one."""
    while "$ref" in node:
        node = FACTS["components"][node["$ref"].split("/")[2]][node["$ref"].split("/")[3]]
    return node


def name_of(response):
    """Return the name of the schema of a response's body; None where no body is promised."""
    return response["content"]["application/json"]["schema"]["$ref"].split("/")[-1] if "content" in response else None


def values(schema):
    """Return a strategy of everything that a schema allows, unknown fields among it."""
    schema = resolve(schema)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "object":
        return objects(schema)
    if schema["type"] == "array":
        return st.lists(values(schema["items"]), max_size=3)
    if schema["type"] == "integer":
        return st.integers() | st.integers(-1000, 1000).map(float)
    return FORMATTED.get(schema.get("format"), st.text())


def objects(schema):
    """The same for an object: what is required, perhaps what is not, and perhaps what Kaspi does not know."""
    fields = {name: values(field) for name, field in schema["properties"].items()}
    required = {name: fields.pop(name) for name in schema.get("required", ())}
    unknown = st.dictionaries(st.from_regex("x[a-z]{3}", fullmatch=True), st.text() | st.none(), max_size=1)
    known = st.fixed_dictionaries(required, optional=fields)
    return st.tuples(unknown, known).map(lambda parts: {**parts[0], **parts[1]})


def sandbox_schema(name):
    """Return a schema as the sandbox writes it: field names with a "?" if optional, and Python's types."""
    schema = resolve({"$ref": f"#/components/schemas/{name}"})
    fields = {}
    for field, described in schema["properties"].items():
        inner = described.get("$ref", "").rpartition("/")[2]
        is_object = resolve(described)["type"] == "object"
        mark = "" if field in schema.get("required", ()) else "?"
        fields[field + mark] = sandbox_schema(inner) if is_object else TYPES[resolve(described)["type"]]
    return fields
