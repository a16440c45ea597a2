"""Data checks with findings: months of extracts in, an Examination out, and a page for people."""
