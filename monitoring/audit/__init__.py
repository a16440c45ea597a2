"""As-served audit: kept values beside the snapshots as known when they were served, as known now, and training."""
