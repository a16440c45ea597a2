"""A challenger beside the version that answered: on the same answers of the ledger, and on their outcomes."""
