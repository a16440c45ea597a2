"""Read-only audits of a version or an answer: lineage and reproduction."""
