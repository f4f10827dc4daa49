"""Two merchants in one shop, isolated from each other."""
