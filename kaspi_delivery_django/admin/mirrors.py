"""What every page of ours shares: nothing is added, changed or deleted by hand."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

VIEW_PERSONAL_DATA = "kaspi_delivery.view_personal_data"
FILTERS = {"", "exact", "in", "isnull"}


def visible(request: HttpRequest, names: Iterable[Any], personal: tuple[str, ...]) -> list[str]:
    """Leave out phones, names and addresses for who must not see them."""
    hidden = () if request.user.has_perm(VIEW_PERSONAL_DATA) else personal
    return [name for name in names if name not in hidden]


class ReadOnly:
    """Permissions of a page, or of a table inside one, that only shows."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody may add a mirror's row."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody may edit one."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody may delete one."""
        return False


class MirrorAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # no generics at run time
    """A page that shows rows; `personal` fields only to who may see personal data."""

    personal: tuple[str, ...] = ()
    list_per_page = 50
    show_full_result_count = False

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Answer what the list's own filters ask; other questions could read a hidden column letter by letter."""
        name, _, how = lookup.partition("__")
        return name in {"id", "pk", *self.list_filter} and how in FILTERS

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Show every column, in the model's order."""
        names = [field.name for field in self.model._meta.fields if field.name != "id"]
        return visible(request, names, self.personal)


class MirrorInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]  # no generics at run time
    """A table of rows inside another row's page."""

    personal: tuple[str, ...] = ()
    extra = 0
    show_change_link = True
    can_delete = False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave out what this person must not see."""
        return visible(request, self.fields or (), self.personal)
