"""Our online store and its engine beside Feast's stock store and bare SQL, in one run on one machine."""
