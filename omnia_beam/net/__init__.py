"""HTTP without Beam: credentials, session, retry, rate limit, the Omnia client."""
