"""The stages, their Prefect flows, and the command line (`python -m flows --help`); the logic is in `training`."""
