"""The goods of the first migration, for the translators: the database holds their texts in English."""

from django.utils.translation import pgettext_lazy

GOODS = (
    pgettext_lazy("goods", "Aport apples"),
    pgettext_lazy(
        "goods",
        "Almaty's own apple, as big as two fists. A 3 kg crate from the orchards above Talgar, picked this week.",
    ),
    pgettext_lazy("goods", "Felt slippers"),
    pgettext_lazy(
        "goods",
        "Warm slippers of sheep's wool, felted by hand and stitched with the ram's-horn ornament. One pair.",
    ),
    pgettext_lazy("goods", "Mountain honey"),
    pgettext_lazy(
        "goods",
        "Wildflower honey from the slopes of the Ile Alatau, in a one-litre jar with a wooden spoon.",
    ),
    pgettext_lazy("goods", "Walnut dombra"),
    pgettext_lazy(
        "goods",
        "A two-stringed dombra of Turkistan walnut, tuned and packed in a soft case. The first song takes an hour.",
    ),
)
