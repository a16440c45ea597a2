"""A challenger beside the model that answers: it scores kept answers from their values, in a process of its own.

The spool of the ledger is its queue. So the path of an answer has no line for it, and what happens to its process,
crash or hang, no answer notices.
"""
