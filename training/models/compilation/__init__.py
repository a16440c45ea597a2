"""A fitted scikit-learn estimator as an ONNX graph in double precision."""
