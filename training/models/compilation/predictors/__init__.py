"""Classifiers and regressors as ONNX nodes."""
