"""What stands between a shop and its first parcel: it looks, asks Kaspi, and writes nothing."""
