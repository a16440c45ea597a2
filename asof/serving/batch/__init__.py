"""POST /predict/batch: many instances, each answered by a prediction or a problem, streamed in chunks.

Body -> instances -> model inputs -> outcomes (predictions and errors) -> items of the answer -> bytes.
"""
