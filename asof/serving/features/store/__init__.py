"""Readers of the online store: entity keys in, stored features out.

`opening.py` chooses the reader by feature_repo/feature_store.yaml: `wide.py` reads our own store (`online_store/`)
without Feast; `feast_api.py` reads every other store through Feast's API.
"""
