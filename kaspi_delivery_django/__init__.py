"""Ship the orders of a Django shop with the Kaspi Delivery API, each exactly once."""

__version__ = "0.1.0"
