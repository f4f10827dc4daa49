"""The demo: five orders go through the shop, over real sockets, while one watches."""
