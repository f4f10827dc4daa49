"""The example shop's addresses."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("kaspi/", include("kaspi_delivery_django.urls")),
    path("", include("example_project.shop.urls")),
]
