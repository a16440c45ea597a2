"""POST /predict/batch: many instances -> an answer or a problem of its own for each, streamed chunk by chunk.

instances (the body) -> inputs (what the model may see) -> outcomes (predictions and errors) -> items -> bytes.
"""
