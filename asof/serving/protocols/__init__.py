"""Protocols of other servers, on the path of our own: the Open Inference Protocol (/v2) and MLflow's scoring server.

Body -> rows, each as POST /predict takes it -> answers as those of /predict and /predict/batch -> the protocol's form.
"""
