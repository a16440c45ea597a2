"""A Feast online store of our own: one wide typed table for each feature view, COPY in, array reads out.

Any Feast project takes it with `type: online_store.store.WideOnlineStore` under `online_store` in feature_store.yaml.
`store` and `engine` are what Feast loads; `array_reader` and `row_reader` read without Feast, for a serving process
that has no room for it. Only what speaks Feast's language imports Feast (store, engine, schema.wanted, schema.values,
writing.rows, writing.writes, reading.keys, reading.reads, relaying.sessions, relaying.transfer, relaying.within); all
else needs psycopg alone, or NumPy.
"""
