"""A fitted scikit-learn classifier as an ONNX graph in double precision."""
