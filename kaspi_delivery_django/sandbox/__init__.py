"""A local Kaspi: the published delivery API in memory, over HTTP or mounted on a session."""
