"""What all endpoints have in common: JSON alone, the host's authentication, our permissions, our problems."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from django.db import connections, models, transaction
from django.utils.cache import patch_cache_control
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.viewsets import GenericViewSet

from kaspi_delivery_django.api import access, problems
from kaspi_delivery_django.api.bodies import StrictSerializer

Row = TypeVar("Row", bound=models.Model)
Values = Mapping[str, Any]


class Endpoint(GenericViewSet[Row]):
    """The parent of our views. The host's REST framework settings decide about authentication and throttles alone."""

    permissions_to_view: Sequence[str] = ()
    permission_classes = (access.CanView,)
    filter_backends = ()
    parser_classes = (access.BoundedJSONParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = access.AnyAccept
    versioning_class = None
    lookup_value_regex = "[^/]+"  # also what is no id gets our own 404
    metadata_class = None

    @classmethod
    def as_view(cls, *args: Any, **kwargs: Any) -> Any:
        """Exempt the view from ATOMIC_REQUESTS: its own transaction ends before the answer leaves."""
        view: Any = super().as_view(*args, **kwargs)
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view

    def get_throttles(self) -> list[BaseThrottle]:
        """Return the host's throttles, and the one of our scope."""
        return [*super().get_throttles(), access.DeliveryThrottle()]

    def get_exception_handler(self) -> Any:
        """Return ours, whatever handler the host has configured."""
        return problems.handle

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep answers, which have personal data, out of every cache."""
        final: Any = super().finalize_response(request, response, *args, **kwargs)
        patch_cache_control(final, private=True, no_store=True)
        return final


def read_values(kind: type[StrictSerializer], given: Any) -> Values:
    """Return the values. Raises `ValidationError`."""
    values = kind(data=given)
    values.is_valid(raise_exception=True)
    found: Values = values.validated_data
    return found
