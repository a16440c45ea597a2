"""What is audited, read: answers of the ledger, rows of feature views, training sets."""
