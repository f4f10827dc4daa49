"""Whatever people read goes through gettext: a literal that does not is found in the source."""

import ast
import re

import pytest

from tests.catalogues import PACKAGE

NOT_FOR_STAFF = {"api", "client", "sandbox", "management", "migrations", "contrib", "checks", "conf.py", "testing"} | {
    "serializers.py"  # what it says of its fields is for who reads the OpenAPI description
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
SAID = {"message_user", "debug", "info", "success", "warning", "error"}
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
SPOKEN_ATTRIBUTE = re.compile(r"""\b(?:title|alt|placeholder|aria-label|value)=(["'])([^"']*[A-Za-z]{2}[^"']*)\1""")


def literals(tree):
    """Yield the literals of a module that stand where people read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (word.value for word in node.keywords if word.arg in LABELS)
            yield from spoken(node)
        elif isinstance(node, ast.Assign):
            yield from (
                node.value for target in node.targets if name_of(target) in LABELS - {"label"}
            )  # an app's is a key
        elif isinstance(node, ast.ClassDef) and any(name_of(base).endswith("Choices") for base in node.bases):
            yield from (choice.value.elts[-1] for choice in node.body if is_choice(choice))


def spoken(call):
    """Yield what a field is called, an error says, or a message tells."""
    name = name_of(call.func)
    if name.endswith("Field"):
        yield from call.args[:1]
    elif name == "ValidationError" or name.startswith("Cannot"):
        yield from call.args
    elif name == "message_user" or (name in SAID and ast.unparse(call.func).startswith("messages.")):
        yield from call.args[1:]


def is_choice(node):
    """Tell whether a line of a class of choices gives a value with its label."""
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)


def name_of(node):
    """Return the last part of a dotted name; nothing for what has no name."""
    return getattr(node, "attr", None) or getattr(node, "id", "")


def has_words(node):
    """Tell whether a node is a text with words in it, even with values between them."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    texts = [part.value for part in parts if isinstance(part, ast.Constant)]
    return any(isinstance(text, str) and WORDS.search(text) for text in texts)


def bare_in_module(source):
    """Return the texts of a module that no gettext translates."""
    return [ast.unparse(node) for node in literals(ast.parse(source)) if has_words(node)]


def bare_in_page(source):
    """Return the texts of a page, and of its spoken attributes, that no tag translates."""
    for pattern in NOT_TEXT:
        source = re.sub(pattern, " ", source, flags=re.DOTALL)
    attributes = [text for _quote, text in SPOKEN_ATTRIBUTE.findall(source)]
    plain = re.sub(r"<[^>]*>", "\n", source)
    return attributes + [line.strip() for line in plain.splitlines() if WORDS.search(line)]


def modules():
    """Return the modules whose texts staff or customers see."""
    return [path for path in PACKAGE.rglob("*.py") if not NOT_FOR_STAFF & set(path.relative_to(PACKAGE).parts)]


def test_no_module_says_a_bare_text():
    """Labels, errors and messages of what staff see are translated."""
    bare = {str(path): bare_in_module(path.read_text()) for path in modules()}
    assert {path: found for path, found in bare.items() if found} == {}


def test_no_page_says_a_bare_text():
    """Every word of a page stands in a tag that translates it."""
    bare = {str(path): bare_in_page(path.read_text()) for path in PACKAGE.rglob("*.html")}
    assert {path: found for path, found in bare.items() if found} == {}


BARE_CODE = {
    'admin.display(description="A name")': "'A name'",
    'verbose_name = "order"': "'order'",
    'f.short_description = "order"': "'order'",
    'models.CharField("order", max_length=2)': "'order'",
    'raise CannotCancel("too late")': "'too late'",
    'raise forms.ValidationError(f"not {name}")': "f'not {name}'",
    'self.message_user(request, "done", 1)': "'done'",
    'messages.error(request, f"{row} is gone")': "f'{row} is gone'",
    'class State(models.TextChoices):\n    DUE = "due", "waits"': "'waits'",
}


@pytest.mark.parametrize("code", BARE_CODE)
def test_a_bare_text_of_a_module_is_found(code):
    """Each place where people read is looked at."""
    assert bare_in_module(code) == [BARE_CODE[code]]


@pytest.mark.parametrize(
    "code",
    [
        'admin.display(description=_("A name"))',
        'self.message_user(request, f"{row}: {words}")',
        'logger.error("adapter failed: %s", pk)',
        'class Kind(models.TextChoices):\n    LINK = "link", _("link")',
        'models.CharField(_("order"), default="none")',
        'empty_value_display = "—"',
    ],
)
def test_a_module_that_translates_is_left_in_peace(code):
    """A wrapped text, a log line and a sign are no sins."""
    assert bare_in_module(code) == []


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("<h1>Hello</h1>", "Hello"),
        ('<a title="Go there">{{ x }}</a>', "Go there"),
        ('<input type="submit" value="Yes">', "Yes"),
        ("{% if a %}Some{% endif %}", "Some"),
    ],
)
def test_a_bare_text_of_a_page_is_found(page, found):
    """Between the tags, in a branch, and in an attribute that is read aloud."""
    assert bare_in_page(page) == [found]


def test_a_page_that_translates_is_left_in_peace():
    """Tags, values, comments, styles and entities are no texts."""
    page = """
        {# why #}{% load i18n %}{% block bodyclass %}{{ block.super }} wide{% endblock %}
        <style>p { color: red }</style><p class="help">{% translate "Hello" %}, {{ name }}
        {% blocktranslate %}Two words{% endblocktranslate %} &rsaquo; <a href="{% url 'x' %}" title="{{ t }}">→</a></p>
    """
    assert bare_in_page(page) == []
