"""Money as people in Kazakhstan write it."""

from django import template

register = template.Library()


@register.filter
def tenge(value: int) -> str:
    """Write 84000 as `84 000 ₸`, with spaces that do not break."""
    return f"{value:,} ₸".replace(",", " ").replace(" ", "\N{NO-BREAK SPACE}")
