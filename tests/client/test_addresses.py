import pytest

from kaspi_delivery_django.client import PRODUCTION_URL, SANDBOX_URL, KaspiClient, UsageError
from kaspi_delivery_django.client.types import check_base_url
from tests.client.conftest import API_KEY


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (PRODUCTION_URL, PRODUCTION_URL),
        (SANDBOX_URL + "/", SANDBOX_URL),
        ("HTTPS://kaspi_1.test.:8443/a/b//", "HTTPS://kaspi_1.test.:8443/a/b"),
        ("http://localhost:8900", "http://localhost:8900"),
        ("http://127.0.0.1:8900", "http://127.0.0.1:8900"),
        ("http://[::1]:8900", "http://[::1]:8900"),
        ("https://[2001:db8::1]/delivery", "https://[2001:db8::1]/delivery"),
    ],
)
def test_base_urls(given, kept):
    """TLS anywhere, plain http on this machine; a last slash does not matter."""
    assert check_base_url(given) == kept


NO_BASE_URLS = """
    kaspi.test //kaspi.test https:// https:///delivery http://kaspi.test http://127.0.0.1.kaspi.test http://192.168.0.1
    ftp://localhost file:///etc/passwd https://me:secret@kaspi.test https://@kaspi.test https://kaspi.test/?a=b
    https://kaspi.test? https://kaspi.test# https://kaspi.test\\@example.com https://kaspi.test/доставка https://[::1
    https://kaspi.test:port https://kaspi.test:99999 https://.kaspi.test https://*.kaspi.test https://kaspi..test
    https://[::1].kaspi.test https://kaspi.test[::1] https://[kaspi.test] https://[1::2::3] https://[]
    https://-kaspi.test https://kaspi%20.test
"""


@pytest.mark.parametrize("base_url", [*NO_BASE_URLS.split(), "", "https://kaspi .test", "https://kas\npi.test"])
def test_base_urls_that_cannot_be(base_url):
    """Anything else is refused before anything is sent."""
    with pytest.raises(UsageError, match=r"^the base URL ") as caught:
        KaspiClient(API_KEY, base_url=base_url)
    assert "secret" not in f"{caught.value} {caught.value!r}"
