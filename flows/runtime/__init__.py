"""Shared by flows and commands: settings with running servers, progress, error messages."""
