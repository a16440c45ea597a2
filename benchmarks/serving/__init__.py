"""`POST /predict` beside its peers: throughput, latency, memory and start."""
