"""Oscar's own models."""

from oscar.apps.shipping.models import *
