"""The benchmarks' project as a WSGI application, without the example shop's own receiver: it is no part of the race."""

from django.core.wsgi import get_wsgi_application

from kaspi_delivery_django.signals import delivery_status_changed

application = get_wsgi_application()
delivery_status_changed.disconnect(dispatch_uid="example_shop.tell_customer")
