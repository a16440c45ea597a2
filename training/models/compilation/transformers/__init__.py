"""Transformers as ONNX nodes, with the formulas of scikit-learn and SciPy."""
