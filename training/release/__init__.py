"""From an evaluated model to a Bento: registry, gate, promotion, bundling."""
