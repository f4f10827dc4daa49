"""Real processes, real sockets and a real database, killed at random moments: what is left is counted."""
