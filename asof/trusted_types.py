"""The types that a model file may hold besides skops' own defaults. This list is the project's, never the artefact's.

skops writes and reads scikit-learn's public estimators and NumPy arrays by itself; compiled and private parts of the
libraries have to be named here. A file that holds any other type is refused, before anything of it is built.
"""

TRUSTED_TYPES: tuple[str, ...] = (
    "numpy.dtype",
    "sklearn.tree._tree.Tree",
)
