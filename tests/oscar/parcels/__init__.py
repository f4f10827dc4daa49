"""All that ties the oscar shop to Kaspi Delivery."""
