"""Text that a customer, a courier or Kaspi filled with markup is text, and nothing else."""

import pytest
from django.db.models import CharField, TextField

from kaspi_delivery_django.models import Delivery
from tests.browser import pages

REVERSING = "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe"
HOSTILE = {
    "markup": "<script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)></textarea></title></table>",
    "attribute": "\"' autofocus onfocus=alert(1) x={{ 7|add:7 }}{% now 'Y' %}",
    "a long address": f"javascript:alert(1)//{'Тастамайшы' * 60}",
    "reversing": REVERSING,
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
    """Nothing runs, nothing is fetched, no link is a script, no page grows, and no neighbour is turned around."""
    poisoned(HOSTILE[kind])
    page = window(operator)

    def wrong(_name):
        reversed_texts = page.evaluate(REVERSED, REVERSING) if kind == "reversing" else []
        return page.evaluate(SCRIPTED) or pages.overflow(page) or reversed_texts

    assert pages.find(page, wrong) == {}


def test_a_message_turns_no_neighbour_around(window, operator, poisoned):
    """The override ends with the value that it is in: here the key of the cancel, its end included."""
    poisoned(REVERSING)
    page = window(operator)
    pages.ALL["ask to cancel"](page)
    page.get_by_label("Reason").fill("x")
    pages.press(page.locator(".submit-row input"))
    assert page.locator(".messagelist").count() == 1
    values = (REVERSING, f"{REVERSING}-cancel")
    assert set.intersection(*(set(page.evaluate(REVERSED, value)) for value in values)) == set()
