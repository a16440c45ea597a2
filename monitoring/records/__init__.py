"""What monitoring found, in tables of schema `public`: runs, figures, alerts."""
