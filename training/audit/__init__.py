"""Read-only audits of a version or an answer: lineage, reproduction and replay."""
