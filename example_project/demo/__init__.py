"""The demo: four orders go through the shop, over real sockets, while one watches."""
