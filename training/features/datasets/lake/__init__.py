"""The snapshots as Parquet files, and training sets from them by Feast's DuckDB offline store: the same rows."""
