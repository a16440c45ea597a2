"""The offline stream, one file per arrow: each owns the type that it hands on."""
