"""A Feast online store: one wide, typed table per feature view, written by COPY and read as arrays.

A Feast project uses it with `type: online_store.store.WideOnlineStore` under `online_store` in feature_store.yaml.
Feast loads `store` and `engine`. `array_reader` and `row_reader` read without Feast, to keep a serving process small.
Feast is imported only in store, engine, schema.feast_view, schema.values, writing.rows, writing.writes, reading.keys,
reading.reads, relaying.sessions, relaying.transfer and relaying.same_server; the rest needs psycopg, or NumPy.
"""
