"""POST /outcomes: what came of predictions -> rows of the ledger, and a verdict on each item."""
