"""HTTP to one service: sessions, transport, retries, rate limits and the failures that they report."""
