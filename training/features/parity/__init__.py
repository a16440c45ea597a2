"""The online store beside the snapshots: whether the service sees what a training set would be made of."""
