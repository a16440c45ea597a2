"""Readers of the online store: entities' keys in, what the store holds of each feature out.

`opening.py` picks the reader by feature_repo/feature_store.yaml: `wide.py` reads the tables of our own store
(`online_store/`) without Feast; `feast_api.py` asks any other store through Feast, that of Feast on PostgreSQL, too.
"""
