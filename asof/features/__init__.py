"""The features of a model in Feast: contract, definitions, feature store, entity keys."""
