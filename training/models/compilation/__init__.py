"""Parts of scikit-learn as ONNX nodes that compute in double precision, where skl2onnx has them in single only."""
