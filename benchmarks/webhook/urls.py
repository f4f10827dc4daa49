"""The test project's addresses, and those of what ours is compared with."""

from django.urls import include, path

from benchmarks.webhook import contestants
from tests.urls import urlpatterns as tests

urlpatterns = [
    *tests,
    path("nothing/", contestants.nothing),
    path("told/", contestants.told),
    path("connecting/", contestants.connecting),
    path("limit/", contestants.limit),
    path("optimum/", contestants.optimum),
    path("stripe/", include("djstripe.urls", namespace="djstripe")),
]
