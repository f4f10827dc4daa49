"""An operator's pages of the admin: which there are, and what rendering one takes. Runs in a contestant's process."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.apps import apps
from django.contrib.admin import site
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR, ChangeList
from django.contrib.auth.models import Group, User
from django.core.cache import cache as django_cache
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.urls import NoReverseMatch, reverse

from benchmarks.figures import Sample
from benchmarks.statements import Watch
from kaspi_delivery_django import lifecycle
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import operators
from kaspi_delivery_django.services.transactions import home

if TYPE_CHECKING:
    from django.contrib.admin.options import ModelAdmin

APP = Delivery._meta.app_label
DASHBOARD = f"admin:{APP}_dashboard"
OPERATOR = "operator"
FINDS_NOTHING = {"a word that nothing has": "no-such-parcel", "digits that nothing has": "99999999999999"}
SEARCHES: Mapping[type[Model], Mapping[str, Any]] = {
    Delivery: {
        "order id": lambda row: row.object_id,
        "external id": lambda row: row.external_order_id,
        "delivery id": lambda row: row.delivery_id,
        "whole phone": lambda row: row.dropoff_phone,
        "a phone's last four digits": lambda row: row.dropoff_phone[-4:],
    },
    WebhookEvent: {
        "event id": lambda row: row.event_id,
        "external id": lambda row: row.external_order_id,
        "delivery id": lambda row: row.kaspi_delivery_id,
    },
    ApiCall: {
        "idempotency key": lambda row: row.idempotency_key,
        "external id": lambda row: row.delivery.external_order_id,
        "delivery id": lambda row: row.delivery.delivery_id,
    },
    StatusChange: {
        "external id": lambda row: row.delivery.external_order_id,
        "delivery id": lambda row: row.delivery.delivery_id,
    },
}
ROWS: Mapping[type[Model], Mapping[str, Mapping[str, Any]]] = {
    Delivery: {
        "delivered": {"status": lifecycle.DELIVERED},
        "under way": {"status": lifecycle.ACCEPTED},
        "needs a person": {"attention__gt": ""},
    },
    WebhookEvent: {"applied": {"state": "applied"}, "parked": {"state": "parked"}},
    ApiCall: {"done": {"state": "done"}, "stuck": {"state": "stuck"}},
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of one database. `is_cold` asks for an empty cache before it is rendered."""

    label: str
    url: str
    is_cold: bool = False


def hire() -> None:
    """Make the operator: of the staff, in the operators' group, no superuser."""
    operators.make_group(using=home())
    user, _created = User.objects.get_or_create(username=OPERATOR, is_staff=True)
    user.groups.add(Group.objects.get(name=operators.NAME))


def find() -> list[Page]:
    """Return the pages that there are, of this database."""
    models = apps.get_app_config(APP).get_models()
    mirrors = [site.get_model_admin(model) for model in models if site.is_registered(model)]
    lists = [page for own in mirrors for page in _list_pages(own)]
    rows = [page for own in mirrors for page in _row_pages(own)]
    index = Page(label="index of the app", url=reverse("admin:app_list", args=[APP]))
    return [index, *lists, *rows, *_dashboard()]


def render(page: Page) -> Sample:
    """Render a page, and tell how long it took, with how many statements, and how many rows it shows."""
    watch = Watch()
    began = perf_counter()
    response = _watched(page, watch)
    ms = (perf_counter() - began) * 1000
    changelist = _changelist(response)
    facts = {
        "status": response.status_code,
        "queries": len(watch.statements),
        "sql ms": round(sum(statement.ms for statement in watch.statements), 1),
        "rows": len(changelist.result_list) if changelist else 1,
    }
    return Sample(ms=ms, facts=facts)


def explain(page: Page) -> str:
    """Render a page, and tell all its statements, with the plan of the slowest."""
    watch = Watch()
    _watched(page, watch)
    return watch.explained()


def _watched(page: Page, watch: Watch) -> Any:
    if page.is_cold:
        django_cache.clear()
    with connection.execute_wrapper(watch):
        return _client().get(page.url)


@cache
def _client() -> Client:
    client = Client()
    client.force_login(User.objects.get(username=OPERATOR))
    return client


def _changelist(response: Any) -> ChangeList | None:
    context = getattr(response, "context_data", None) or {}
    found: ChangeList | None = context.get("cl")
    return found


def _list_pages(own: "ModelAdmin[Any]") -> Iterator[Page]:
    """Yield a list's first, second and last page, its filters' choices, and searches; nothing that is forbidden."""
    name, url = _named(own), reverse(f"admin:{APP}_{own.opts.model_name}_changelist")
    changelist = _changelist(_client().get(url))
    if changelist is None:
        return
    yield Page(label=name, url=url)
    last = changelist.paginator.num_pages
    for label, number in (("page 2", 2), ("last page", last)) if last > 1 else ():
        yield Page(label=f"{name}, {label}", url=f"{url}?{urlencode({PAGE_VAR: number})}")
    for label, query in _choices(changelist):
        yield Page(label=f"{name}, {label}", url=url + query)
    for label, term in _terms(own.model).items() if changelist.search_fields else ():
        yield Page(label=f"{name}, search {label}", url=f"{url}?{urlencode({SEARCH_VAR: term})}")


def _choices(changelist: ChangeList) -> Iterator[tuple[str, str]]:
    for specification in changelist.filter_specs:
        for choice in specification.choices(changelist):
            if not choice.get("selected") and choice.get("query_string"):
                yield f"{specification.title} = {choice['display']}", str(choice["query_string"])


def _terms(model: type[Model]) -> dict[str, str]:
    row = _middle(model)
    found = {label: str(term(row)) for label, term in SEARCHES.get(model, {}).items()}
    return {**found, **FINDS_NOTHING}


def _middle(model: type[Model]) -> Model:
    """Return a row of about half a year ago."""
    rows = model._default_manager.order_by("pk")
    newest = rows.values_list("pk", flat=True).last() or 0
    found: Model = rows.filter(pk__gte=newest // 2)[0]
    return found


def _row_pages(own: "ModelAdmin[Any]") -> Iterator[Page]:
    page = f"admin:{APP}_{own.opts.model_name}_change"
    for label, wanted in ROWS.get(own.model, {"newest": {}}).items():
        row = own.model._default_manager.filter(**wanted).order_by("-pk").first()
        if row is not None:
            yield Page(label=f"{own.opts.verbose_name}, {label}", url=reverse(page, args=[row.pk]))


def _dashboard() -> list[Page]:
    try:
        url = reverse(DASHBOARD)
    except NoReverseMatch:
        return []
    return [Page(label="dashboard, cold", url=url, is_cold=True), Page(label="dashboard, warm", url=url)]


def _named(own: "ModelAdmin[Any]") -> str:
    return str(own.opts.verbose_name_plural)
