"""Names that the blocks of a page assume: things that its prose mentions, and no block defines.

A block whose names are not here has to import them. Names are those of `conftest.context`; code is run before each
Python block of the page. A block that elides something (`...`) stands in the file that README.md shows, and has what is
imported and defined there. A page about a project that needs more than these tests have shows files of other tests, and
names an adapter that is among them.
"""

GIVEN = {
    "README.md": {"api_key", "order", "request", "send_sms"},
    "docs/adapter.md": {"delivery"},
    "docs/switching-over.md": {"order"},
}

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the example of Standard Webhooks

BEFORE = {
    "docs/adapter.md": """
KASPI_START = datetime(2026, 12, 1, tzinfo=UTC)
type(delivery).objects.update(status="delivered")
""",
    "docs/relay.md": f"""
import os
for name in ("WEBHOOK_SECRET", "ERP_WEBHOOK_SECRETS", "ACCOUNTING_WEBHOOK_SECRETS"):
    os.environ.setdefault(name, "{SECRET}")
os.environ.setdefault("ERP_DATABASE", ":memory:")
""",
}

ELSEWHERE = {
    "docs/oscar.md": {
        "folder": "tests/oscar",
        "shown_as": "yourshop",
        "there": "tests.oscar",
        "run_by": "oscar",
        "adapter": "yourshop.parcels.adapter.OscarOrderAdapter",
    },
}
