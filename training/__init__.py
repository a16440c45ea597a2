"""The offline stream, one file per arrow: snapshot, materialise, dataset, train, evaluate, register, promote, bundle."""
