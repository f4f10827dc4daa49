"""API views without the host project's authentication: a signature or a signed token is checked instead."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.utils.decorators import method_decorator
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView, exception_handler


class OneRenderer(BaseContentNegotiation):
    """Always select JSON; ignore Accept and `?format=`."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Select no parser: views read the raw body."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        """Select the only renderer."""
        return renderers[0], renderers[0].media_type


@method_decorator(login_not_required, name="dispatch")
class PublicAPIView(APIView):
    """Base of endpoints whose credential is a signature; ignores the host's DRF defaults."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes: Sequence[type[BaseThrottle]] = ()
    parser_classes = ()
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = OneRenderer
    versioning_class = None
    metadata_class = None

    def perform_authentication(self, request: Request) -> None:
        """Skip authentication: the signature is the credential."""

    def get_exception_handler(self) -> Any:
        """Return DRF's own handler, whatever handler the host has configured."""
        return exception_handler
