"""From a version or an answer back to its origin: code, training set, loads, files. Everything here only reads."""
