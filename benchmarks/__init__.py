"""The speed of the main job beside its peers, in one run on one machine: `make bench`."""
