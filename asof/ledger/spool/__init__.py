"""From answers to rows of the ledger: frames, the files in which they wait, and the process that ships them."""
