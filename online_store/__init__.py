"""A Feast online store of our own: one wide typed table for each feature view, COPY in, array reads out.

Any Feast project takes it with `type: online_store.store.WideOnlineStore` under `online_store` in feature_store.yaml.
What speaks Feast's language (store, reads, writes, rows, keys, values, wanted) imports Feast; the rest needs psycopg
alone, so that a serving process can read without Feast.
"""
