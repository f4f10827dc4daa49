"""Two merchants in one shop: what is one's never touches the other."""
