"""The pages under Django's own look, or under the theme that KASPI_THEME names: lists and actions work."""

from kaspi_delivery_django.models import Delivery
from tests.browser import pages


def choose_created(page):
    """Filter the list of deliveries by the status, as each theme offers it."""
    if pages.THEME == "jazzmin":
        page.locator("#change-list-filters select[data-name=status]").select_option("Created", force=True)
        return pages.press(page.locator("#change-list-filters [type=submit]"))
    if pages.THEME == "unfold":
        page.locator(".filter-open-button").click()
    return pages.press(page.locator("#changelist-filter").get_by_role("link", name="Created"))


def test_a_list_is_filtered_and_several_are_cancelled(window, operator, busy):
    """The theme's own panel takes our choices, and the result of an action is in a live region."""
    Delivery.objects.filter(pk=Delivery.objects.latest("pk").pk).update(status="created")
    page = window(operator)
    pages.go_to_list(page)
    choose_created(page)
    assert page.locator("#result_list tbody tr").count() == Delivery.objects.filter(status="created").count() == 1
    pages.ALL[pages.BULK](page)
    assert page.get_by_role("heading", name="Cancel delivery").is_visible()
    page.get_by_label("Reason").fill("out of stock")
    pages.press(page.locator(".submit-row [type=submit]"))
    assert page.get_by_role("status").first.inner_text()
    assert not Delivery.objects.filter(status__in=["created", "accepted"]).exists()


def test_the_dashboard_keeps_its_name(window, operator, busy):
    """A theme that has a dashboard of its own does not translate ours."""
    page = window(operator, locale="ru-KZ")
    pages.go_to_dashboard(page)
    assert page.get_by_role("heading", name="Сводка", exact=True).is_visible()
    pages.go_to_list(page)
    assert page.get_by_role("link", name="Сводка", exact=True).is_visible()
