"""The model card: one page of HTML for each kind of target."""
