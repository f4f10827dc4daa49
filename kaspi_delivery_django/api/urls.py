"""The REST API: `path("kaspi/api/v1/", include("kaspi_delivery_django.api.urls"))`."""

from importlib import import_module

from django.apps import apps
from rest_framework.routers import SimpleRouter

from kaspi_delivery_django.api.views import DeliveryViewSet, EventViewSet

app_name = "kaspi_delivery_api"
router = SimpleRouter()
router.trailing_slash = "/?"  # a redirect to an address with a slash would lose the body
router.register("deliveries", DeliveryViewSet, basename="delivery")
router.register("events", EventViewSet, basename="event")
urlpatterns = router.urls
if apps.is_installed("drf_spectacular"):
    import_module("kaspi_delivery_django.contrib.openapi_rest")
