"""What is measured: each peer as its own documentation tells to write and to start it."""
