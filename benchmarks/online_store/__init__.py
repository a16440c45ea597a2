"""Our online store and its engine beside Feast's and bare SQL."""
