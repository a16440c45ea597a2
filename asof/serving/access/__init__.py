"""Who may ask, how often, and how long a request's head may be: all that is decided before a request is looked at."""
