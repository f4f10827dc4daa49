"""Text that a customer, a courier or Kaspi filled with markup is text, and nothing else."""

import pytest
from django.db.models import CharField, TextField

from kaspi_delivery_django.models import Delivery
from tests.browser import pages

LONG = "Тастамайшы" * 60
REVERSING = "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe"
HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": "\"' autofocus onfocus=alert(1) x=<img src=http://evil.example/x onerror=alert(1)>",
    "address": "javascript:alert(1)",
    "formula": '=HYPERLINK("http://evil.example")',
    "template": "{{ 7|add:7 }}{% now 'Y' %}</textarea></title></table>",
    "reversing": REVERSING,
    "long": LONG,
}
SCRIPTED = "[...document.links].filter((link) => link.protocol === 'javascript:').map((link) => link.outerHTML)"
REVERSED = """(mark) => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  const box = (node, at) => {
    const range = document.createRange();
    range.setStart(node, at);
    range.setEnd(node, at + 1);
    return range.getBoundingClientRect();
  };
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (const word of node.data.replaceAll(mark, " ".repeat(mark.length)).matchAll(/\\p{L}{2,}/gu)) {
      const first = box(node, word.index), last = box(node, word.index + word[0].length - 1);
      if (first.width && first.top === last.top && first.left > last.left) found.push(node.data.trim());
    }
  }
  return found;
}"""


def fill(model, text):
    """Write the text into every text column of every row: all but those that take one of few words."""
    texts = [field for field in model._meta.fields if isinstance(field, CharField | TextField) and not field.choices]
    for number, row in enumerate(model.objects.order_by("pk")):
        for field in texts:
            setattr(row, field.name, fitting(text, field, number))
        row.save()


def fitting(text, field, number):
    """Return as much of the text as the column takes, after a number where no two rows may have the same."""
    is_shared = any(field.name in constraint.fields for constraint in field.model._meta.constraints)
    return f"{number if is_shared else ''}{text}"[: field.max_length]


@pytest.fixture
def poisoned(busy):
    """Fill every table with a text; the last delivery stays that of the shop's order."""

    def poison(text):
        last = Delivery.objects.latest("pk")
        for model in pages.MODELS:
            fill(model, text)
        Delivery.objects.filter(pk=last.pk).update(object_id=last.object_id)

    return poison


@pytest.mark.parametrize("kind", HOSTILE)
def test_it_is_inert_on_every_page(window, operator, poisoned, kind):
    """Nothing runs, nothing is fetched, no link is a script, and no page grows beyond the window."""
    poisoned(HOSTILE[kind])
    page = window(operator)
    assert pages.find(page, lambda _name: page.evaluate(SCRIPTED) or pages.overflow(page)) == {}


def test_it_turns_no_neighbour_around(window, operator, poisoned):
    """An override of the writing direction ends with the value that it is in."""
    poisoned(REVERSING)
    page = window(operator)
    assert pages.find(page, lambda _name: page.evaluate(REVERSED, REVERSING)) == {}
    pages.ALL["ask to cancel"](page)
    page.get_by_label("Reason").fill("x")
    pages.press(page.locator(".submit-row input"))
    assert page.locator(".messagelist").count() == 1
    values = (REVERSING, f"{REVERSING}-cancel")  # the key of the cancel is one value, its end included
    assert set.intersection(*(set(page.evaluate(REVERSED, value)) for value in values)) == set()
