"""What makes a model safe to load: signed manifest, trusted types, golden rows."""
