"""Fitted models of LightGBM, XGBoost and CatBoost -> ONNX nodes, as these libraries compute them.

Each library's own numbers are kept: what it splits and sums in single precision, the graph does as well.
"""
