"""What the shop's tests with pytest stand on."""

pytest_plugins = ["kaspi_delivery_django.testing.fixtures"]
