"""A project that does not include our URLs."""

urlpatterns = []
