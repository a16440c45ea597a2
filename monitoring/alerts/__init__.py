"""Rules on figures, the alerts that they open and close, and what is done about an alert."""
