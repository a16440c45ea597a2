"""What a model takes from Feast: the contract, the registry, definitions, and entity keys."""
