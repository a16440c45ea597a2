"""Model inputs: features looked up in the online store or taken from the request, then judged."""
