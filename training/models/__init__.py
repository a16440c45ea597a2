"""Models: fitting, evaluation, compilation to ONNX."""
