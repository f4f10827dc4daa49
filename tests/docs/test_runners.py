"""The runners find mistakes: in each language, a block that would mislead its reader fails."""

import pytest

from tests.docs.pages import Block
from tests.docs.test_blocks import RUNNERS

REST = 'curl -i -H "Authorization: Token $TOKEN" -X POST https://your-shop/kaspi/api/v1/deliveries/17'
MISLEADING = [
    ("python", "from kaspi_delivery_django.services import ship", "ImportError"),
    ("python", 'INSTALLED_APPS = [..., "kaspi_delivery"]', "No module named 'kaspi_delivery'"),
    ("python", 'KASPI_DELIVERY = {"APIKEY": "x"}', "KASPI_DELIVERY has no key 'APIKEY'"),
    ("python", 'KASPI_DELIVERY = {"ORDER_ADAPTERS": ["shop.Nothing"]}', "kaspi_delivery.E005"),
    ("python", 'urlpatterns = [("kaspi/", "kaspi_delivery_django.urls")]', "('kaspi/', 'kaspi_delivery_django.urls')"),
    (
        "python",
        "class Bad(ShopOrderAdapter):\n    ...\n    def wants_delivery(self, order):\n        return 1",
        "bool)",
    ),
    ("python", "def test_it():\n    assert 1 == 2", "assert 1 == 2"),
    ("sh", "python manage.py kaspi_send", "no command is called kaspi_send"),
    ("sh", "python manage.py kaspi_worker --forever", "unrecognized arguments: --forever"),
    ("sh", "pip install 'kaspi-delivery-django[redis]'", "[redis]: no such extra"),
    ("sh", "export KASPI_DELIVERY_KEY=x", "no setting is read from KASPI_DELIVERY_KEY"),
    ("sh", "echo 'it", "unexpected EOF"),
    ("sh", "celery -A shop worker --fast", "'--fast'"),
    ("crontab", "*/5 * * * python manage.py kaspi_worker --once", "no line of a crontab"),
    ("console", f"$ {REST}/retry/\nHTTP/1.1 409 Conflict", "assert 409 == 202"),
    ("console", f'$ {REST}/reissue/\nHTTP/1.1 201 Created\n\n{{"generation": 3, "…": "…"}}', "generation is 2, not 3"),
    ("text", "lost 0".title(), "== []"),
    ("nginx", "location / {\n    client_max_body_size 1k;\n}", "nginx refuses what the webhook accepts"),
    ("ini", "[Service]\nExecStart=/srv/bin/python manage.py kaspi_work", "no command is called kaspi_work"),
    ("json", "{'a': 1}", "property name"),
    ("html", "{% load kaspi %}", "'kaspi' is not a registered tag library"),
    ("css", ".kaspi-nothing { color: red; }", ".kaspi-nothing"),
    ("mermaid", 'flowchart LR\n    a["receivers.py"] --> b["services/sending.py"]', "['services/sending.py']"),
    ("{toctree}", "nowhere", "no such page: ['nowhere']"),
]


@pytest.mark.parametrize(("language", "text", "words"), MISLEADING)
def test_a_misleading_block_fails(language, text, words, context, tmp_path):
    """The program that it is for names the mistake."""
    block = Block(page="SECURITY.md", line=1, language=language, text=f"{text}\n")
    with pytest.raises((Exception, SystemExit)) as failed:
        RUNNERS[language](block, context, tmp_path)
    assert words in f"{failed.type.__name__}: {failed.value}"


def test_each_language_has_a_misleading_block():
    """A fence without a language has no runner, and fails as well."""
    assert {language for language, _text, _words in MISLEADING} == set(RUNNERS)
    assert "" not in RUNNERS
