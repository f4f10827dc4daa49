"""The pages under Django's own look, or under the theme that KASPI_THEME names: they can be read and worked with."""

import pytest

from kaspi_delivery_django.models import Delivery
from tests.browser import pages

ASKING = [name for name in pages.OURS if name.startswith("ask")]
LEAST_DIFFERENCE = 30  # of 255, between a field's edge and what is around it
FAINT = """(least) => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const painted = (colours) => {
    for (const colour of colours) {
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const behind = (one) => one ? [...behind(one.parentElement), getComputedStyle(one).backgroundColor] : ["white"];
  const isFaint = (field) => {
    const {borderTopColor, borderTopWidth} = getComputedStyle(field);
    const around = behind(field.parentElement), ground = painted(around);
    const edge = painted([...around, borderTopWidth === "0px" ? "transparent" : borderTopColor]);
    return Math.max(...edge.map((part, number) => Math.abs(part - ground[number]))) < least;
  };
  const fields = [...document.querySelectorAll("main form, #main form")].flatMap((form) => [...form.elements]);
  return fields.filter((field) => field.matches("[type=text], textarea, select") && isFaint(field))
    .map((field) => field.outerHTML);
}"""


def choose_created(page):
    """Filter the list of deliveries by the status, as each theme offers it."""
    if pages.THEME == "jazzmin":
        page.locator("#change-list-filters select[data-name=status]").select_option("Created", force=True)
        return pages.press(page.locator("#change-list-filters [type=submit]"))
    if pages.THEME == "unfold":
        page.locator(".filter-open-button").click()
    return pages.press(page.locator("#changelist-filter").get_by_role("link", name="Created"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fields_can_be_seen(window, operator, busy, scheme):
    """Each field of a confirmation stands out from the page, without the focus too."""
    page = window(operator, color_scheme=scheme)
    assert pages.find(page, lambda _name: page.evaluate(FAINT, LEAST_DIFFERENCE), names=ASKING) == {}


def test_a_list_is_filtered(window, operator, busy):
    """The theme's own panel takes our choices."""
    Delivery.objects.filter(pk=Delivery.objects.latest("pk").pk).update(status="created")
    page = window(operator)
    pages.go_to_list(Delivery)(page)
    choose_created(page)
    assert page.locator("#result_list tbody tr").count() == Delivery.objects.filter(status="created").count() == 1


def test_several_are_cancelled(window, operator, busy):
    """From the choice in the list to the result, which is a live region's."""
    page = window(operator)
    pages.ALL[pages.BULK](page)
    assert page.get_by_role("heading", name="Cancel delivery").is_visible()
    page.get_by_label("Reason").fill("out of stock")
    pages.press(page.locator(".submit-row [type=submit]"))
    assert page.get_by_role("status").first.inner_text()
    assert not Delivery.objects.filter(status="accepted").exists()


def test_the_dashboard_keeps_its_name(window, operator, busy):
    """A theme that has a dashboard of its own does not translate ours."""
    page = window(operator, locale="ru-KZ")
    pages.go_to_dashboard(page)
    assert page.get_by_role("heading", name="Сводка", exact=True).is_visible()
    pages.go_to_list(Delivery)(page)
    assert page.get_by_role("link", name="Сводка", exact=True).is_visible()
