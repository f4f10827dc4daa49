"""The customer's tracking page, and its JSON for apps. Both need a signed token and only read."""

from http import HTTPStatus

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.utils.cache import get_conditional_response, patch_cache_control, set_response_etag
from django.views.decorators.http import require_safe
from rest_framework.request import Request

from kaspi_delivery_django.serializers import TrackingSerializer
from kaspi_delivery_django.tracking import tracking_for
from kaspi_delivery_django.views.public import PublicAPIView

NOT_FOUND = {"detail": "Not found."}
HEADERS = {
    "Referrer-Policy": "no-referrer",  # the URL is the credential
    "X-Robots-Tag": "noindex, nofollow",
}


@login_not_required
@require_safe
def tracking_page(request: HttpRequest, token: str) -> HttpResponseBase:
    """Show the delivery's timeline; 404 for any token that leads to no delivery."""
    found = tracking_for(token)
    if found is None:
        return _seal(request, render(request, "kaspi_delivery/not_found.html", status=HTTPStatus.NOT_FOUND))
    return _seal(request, render(request, "kaspi_delivery/tracking.html", {"tracking": found}))


class TrackingView(PublicAPIView):
    """The tracking page as JSON, for apps."""

    def get(self, request: Request, token: str) -> HttpResponseBase:
        """Return the delivery's timeline; 404 for any token that leads to no delivery."""
        found = tracking_for(token)
        if found is None:
            return _seal(request._request, JsonResponse(NOT_FOUND, status=HTTPStatus.NOT_FOUND))
        return _seal(request._request, JsonResponse(TrackingSerializer(found).data))


def _seal(request: HttpRequest, response: HttpResponse) -> HttpResponseBase:
    """Add headers against shared caches and search engines, and answer conditional requests."""
    patch_cache_control(response, private=True, no_cache=True)
    set_response_etag(response)
    answer: HttpResponseBase = get_conditional_response(request, response["ETag"], response=response) or response
    for name, value in HEADERS.items():
        answer[name] = value
    return answer
