"""Speed and memory of the offline stages, of training sets and of scoring."""
