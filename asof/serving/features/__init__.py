"""The features of a prediction: looked up in the store or taken from the request, then judged."""
