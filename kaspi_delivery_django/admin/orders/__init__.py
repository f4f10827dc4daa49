"""What a shop puts on its own order pages."""

from django.utils.translation import gettext_lazy as _

BOOK_AGAIN = _("Book a courier again")
