"""The service: one user in, one prediction out, with the model, the moments and the verdicts that it rests on."""
