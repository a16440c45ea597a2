"""What came of predictions, as clients report it: items, their targets in the ledger, and the rows that are added."""
