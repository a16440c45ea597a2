"""Every user of a moment -> a probability, or the reason why there is none: from the snapshots, judged as online."""
