"""Readers of the online store: entities' keys in, what the store holds of each feature out.

`opening.py` picks the reader by feature_repo/feature_store.yaml: `stock.py` reads the tables of Feast's PostgreSQL
store itself and `wide.py` those of our own (`online_store/`); `feast_api.py` asks any other store through Feast.
"""
