"""Access control before a request is read: API keys, scopes, rates, limits of request line and headers."""
