"""The console: pages on what is in Production, why, and what came of it. Read-only."""
