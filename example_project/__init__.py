"""A small shop in Almaty that ships with Kaspi Delivery."""
