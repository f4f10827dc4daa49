"""The doctor: what stands between a shop and its first parcel. It asks Kaspi, and writes nothing."""
