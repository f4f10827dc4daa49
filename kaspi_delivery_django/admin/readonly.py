"""Read-only admin classes: nothing is added, changed or deleted by hand, and no list counts a whole table."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.helpers import ActionForm
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin.display import as_read, masked, visible
from kaspi_delivery_django.stats.snapshot import MAX_COUNT

FILTERS = {"", "exact"}
DJANGOS_TEXTS = (_("- Select an option -"), _("Run"))  # Django has no Russian or no Kazakh for them
TABLE = "admin/kaspi_delivery/table.html"
STYLE: dict[str, Sequence[str]] = {"all": ("kaspi_delivery/desk.css",)}
SCRIPTS = ("kaspi_delivery/copy.js", "kaspi_delivery/cards.js")


class ReadOnlyMixin:
    """Permissions of a page, or of a table inside one, that only shows."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # no generics at run time
    """Pages through the first 10,000 rows, and counts no further."""

    @cached_property
    def found(self) -> int:
        """The number of rows, counted to at most one more than is shown."""
        rows: Any = self.object_list  # the admin gives a queryset
        return int(rows.order_by()[: MAX_COUNT + 1].count())  # sorting them first would cost more than counting

    @property
    def count(self) -> int:
        return min(self.found, MAX_COUNT)


class CappedChangeList(ChangeList):
    """Keep the order of the index, and note when there are more rows than the pages show."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Take no other order from the address either."""
        return list(self.model_admin.ordering or ())

    @property
    def is_capped(self) -> bool:
        return getattr(self.paginator, "found", 0) > MAX_COUNT


class ActionsForm(ActionForm):
    """Django's choice of an action, by a name that django-unfold shows its button for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["action"].widget.attrs["x-model"] = "action"


class ReadOnlyAdmin(ReadOnlyMixin, admin.ModelAdmin):  # type: ignore[type-arg]  # no generics at run time
    """A read-only page; `personal` fields are shown to users who can view personal data.

    A list neither counts nor sorts a whole table. `search_fields` name the searched fields, and `find`
    returns the condition: by indexed columns of the table itself. `list_prefetch_related` names the rows that a
    list shows beside its own: a join would read those of all the pages before.
    """

    personal: tuple[str, ...] = ()
    list_prefetch_related: ClassVar[tuple[str, ...]] = ()
    list_filter: ClassVar[tuple[type[admin.SimpleListFilter], ...]] = ()
    action_form = ActionsForm
    list_per_page = 50
    list_max_show_all = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = CappedPaginator
    ordering = ("-pk",)
    sortable_by = ()

    class Media:
        css = STYLE
        js = SCRIPTS

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CappedChangeList]:
        return CappedChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Prefetch related rows, one query for each kind."""
        return super().get_queryset(request).prefetch_related(*self.list_prefetch_related)

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Answer the list's own filters, and keys; other questions could read a hidden column letter by letter."""
        name, _, how = lookup.partition("__")
        offered: set[Any] = {kind.parameter_name for kind in self.list_filter}
        return lookup in offered or (name in {"id", "pk"} and how in FILTERS)

    def get_list_display(self, request: HttpRequest) -> Any:
        return as_read(self.model, super().get_list_display(request))

    def find(self, request: HttpRequest, term: str) -> Q:
        raise NotImplementedError

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Look for the term as a whole; no row is found twice."""
        term = search_term.strip() if self.search_fields else ""
        return (queryset.filter(self.find(request, term)) if term else queryset), False

    # Titles that name the kind of row: Django's own decline no noun.

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {"title": capfirst(self.opts.verbose_name_plural), **(extra_context or {})}
        return super().changelist_view(request, context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"title": capfirst(self.opts.verbose_name), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def get_inline_formsets(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Leave out empty tables."""
        return [table for table in super().get_inline_formsets(*args, **kwargs) if table.formset.forms]

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        names = [field.name for field in self.model._meta.fields if field.name != "id"]
        return masked(request, self.model, names, self.personal)


class ReadOnlyInline(ReadOnlyMixin, admin.TabularInline):  # type: ignore[type-arg]  # no generics at run time
    """A table of rows inside another row's page."""

    template = TABLE
    ordering = ("-pk",)
    personal: tuple[str, ...] = ()
    extra = 0
    show_change_link = True
    can_delete = False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return as_read(self.model, visible(request, self.fields or (), self.personal))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.get_fields(request, obj)
