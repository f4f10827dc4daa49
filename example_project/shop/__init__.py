"""The shop: products, orders, and a page where a customer follows the parcel."""
