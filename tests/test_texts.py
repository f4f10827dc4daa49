"""Whatever people read goes through gettext: a literal that does not is found in the source."""

import ast
import re

from tests.catalogues import PACKAGE

NOT_FOR_STAFF = {"api", "client", "sandbox", "management", "migrations", "contrib", "checks", "conf.py", "testing"} | {
    "serializers.py"  # help texts for readers of the OpenAPI description
}
LABELS = {
    "description",
    "empty_label",
    "empty_value_display",
    "error_messages",
    "help_text",
    "label",
    "message",
    "placeholder",
    "question",
    "short_description",
    "title",
    "verbose_name",
    "verbose_name_plural",
}
MESSAGES = {"debug", "info", "success", "warning", "error"}
WORDS = re.compile(r"[A-Za-z]{2}")
NOT_TEXT = (
    r"\{#.*?#\}",
    r"\{%\s*comment.*?endcomment\s*%\}",
    r"\{%\s*block (?:bodyclass|coltype)\s*%\}.*?endblock\s*%\}",
    r"\{%\s*blocktrans.*?endblocktrans(late)?\s*%\}",
    r"<(script|style)\b.*?</\1>",
    r"\{%.*?%\}",
    r"\{\{.*?\}\}",
    r"&\w+;",
)
READ_ALOUD = re.compile(r"""\b(?:title|alt|placeholder|aria-label|value)=(["'])([^"']*[A-Za-z]{2}[^"']*)\1""")


def literals(tree):
    """Yield the literals of a module that stand where people read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (word.value for word in node.keywords if word.arg in LABELS)
            yield from arguments_for_people(node)
        elif isinstance(node, ast.Assign):  # an app's label is a key
            yield from (node.value for target in node.targets if name_of(target) in LABELS - {"label"})
        elif isinstance(node, ast.ClassDef) and any(name_of(base).endswith("Choices") for base in node.bases):
            choices = (line.value for line in node.body if isinstance(line, ast.Assign))
            yield from (choice.elts[-1] for choice in choices if isinstance(choice, ast.Tuple))


def arguments_for_people(call):
    """Return a field's name, an error's text, or a message."""
    name = name_of(call.func)
    if name.endswith("Field"):
        return call.args[:1]
    if name == "ValidationError" or name.startswith("Cannot"):
        return call.args
    is_message = name in MESSAGES and ast.unparse(call.func).startswith("messages.")
    return call.args[1:] if is_message or name == "message_user" else []


def name_of(node):
    """Return the last part of a dotted name; nothing for what has no name."""
    return getattr(node, "attr", None) or getattr(node, "id", "")


def parts_of(node):
    """Return a literal, or the parts of an f-string."""
    return node.values if isinstance(node, ast.JoinedStr) else [node]


def has_words(node):
    """Return whether a node is a text with words in it, even with values between them."""
    texts = [part.value for part in parts_of(node) if isinstance(part, ast.Constant)]
    return any(isinstance(text, str) and WORDS.search(text) for text in texts)


def bare_in_module(source):
    """Return the texts of a module that no gettext translates."""
    return [ast.unparse(node) for node in literals(ast.parse(source)) if has_words(node)]


def bare_in_page(source):
    """Return the texts of a page, and of its attributes that are read aloud, that no tag translates."""
    for pattern in NOT_TEXT:
        source = re.sub(pattern, " ", source, flags=re.DOTALL)
    attributes = [text for _quote, text in READ_ALOUD.findall(source)]
    plain = re.sub(r"<[^>]*>", "\n", source)
    return attributes + [line.strip() for line in plain.splitlines() if WORDS.search(line)]


def test_no_module_and_no_page_has_a_bare_text():
    """Labels, errors, messages and pages of staff and customers are translated."""
    seen = [path for path in PACKAGE.rglob("*.py") if not NOT_FOR_STAFF & set(path.relative_to(PACKAGE).parts)]
    bare = {path: bare_in_module(path.read_text()) for path in seen}
    bare |= {path: bare_in_page(path.read_text()) for path in PACKAGE.rglob("*.html")}
    assert {str(path): found for path, found in bare.items() if found} == {}


MODULE = """
admin.display(description="A name")
verbose_name = "order"
models.CharField("orders", max_length=2)
raise forms.ValidationError(f"not {name}")
messages.error(request, f"{row} is gone")
class State(models.TextChoices):
    DUE = "due", "pending"
    LINK = "link", _("link")
self.message_user(request, f"{row}: {words}")
logger.error("adapter failed: %s", pk)
models.CharField(_("order"), default="none")
"""
PAGE = """
{# why #}{% load i18n %}{% block bodyclass %}{{ block.super }} wide{% endblock %}
<style>p { color: red }</style><p class="help">{% translate "Hello" %}, {{ name }}
{% blocktranslate %}Two words{% endblocktranslate %} &rsaquo; <a href="{% url 'x' %}" title="{{ t }}">→</a></p>
<a title="Go there">{{ x }}</a><input type="submit" value="Yes">
<h1>Title</h1>{% if a %}Some{% endif %}
"""


def test_bare_texts_are_found():
    """In each place where people read; log lines, signs, tags, values and styles are no texts."""
    found = {text.strip("f'") for text in bare_in_module(MODULE)}
    assert found == {"A name", "order", "orders", "not {name}", "{row} is gone", "pending"}
    assert bare_in_page(PAGE) == ["Go there", "Yes", "Title", "Some"]
