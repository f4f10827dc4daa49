"""Put something on the shelf."""

from typing import Any

from django.db import migrations

PRODUCTS = [
    {
        "name": "Aport apples",
        "price_kzt": 4_900,
        "weight_grams": 3_000,
        "description": "Almaty's own apple, as big as two fists. A 3 kg crate from the orchards "
        "above Talgar, picked this week.",
    },
    {
        "name": "Felt slippers",
        "price_kzt": 12_900,
        "weight_grams": 450,
        "description": "Warm slippers of sheep's wool, felted by hand and stitched with the "
        "ram's-horn ornament. One pair.",
    },
    {
        "name": "Mountain honey",
        "price_kzt": 6_500,
        "weight_grams": 1_300,
        "description": "Wildflower honey from the slopes of the Ile Alatau, in a one-litre jar with a wooden spoon.",
    },
    {
        "name": "Walnut dombra",
        "price_kzt": 84_000,
        "weight_grams": 1_800,
        "description": "A two-stringed dombra of Turkistan walnut, tuned and packed in a soft "
        "case. The first song takes an hour.",
    },
]


def fill(apps: Any, schema_editor: Any) -> None:
    """Add the products."""
    product = apps.get_model("example_shop", "Product")
    shelf = product.objects.using(schema_editor.connection.alias)
    shelf.bulk_create(product(**fields) for fields in PRODUCTS)


class Migration(migrations.Migration):
    """Four products of Almaty."""

    dependencies = [("example_shop", "0001_initial")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
