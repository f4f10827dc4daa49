"""What an operator meets in a real browser: Chromium before the live server, under a strict policy."""
