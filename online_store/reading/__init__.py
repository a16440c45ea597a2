"""Reading rows: for Feast as protobuf values (`reads`), without Feast as they are (`direct_lookup`)."""
