"""How often the gate promotes a model that is no better, and one that is, by target and held-out rows."""
