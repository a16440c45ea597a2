"""One module for each kind of copy: `erase(work)` counts the subject's rows, and deletes them if it is to."""
