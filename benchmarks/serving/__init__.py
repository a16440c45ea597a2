"""The serving path beside its peers, in one run on one machine: `make bench ARGS=serving`."""
