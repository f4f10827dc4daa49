"""The test project's addresses."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("example/", include("example_project.shop.urls")),
    path("kaspi/", include("kaspi_delivery_django.urls")),
    path("kaspi/api/v1/", include("kaspi_delivery_django.api.urls")),
]
