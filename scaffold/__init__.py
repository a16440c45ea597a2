"""`flows new`: tables as people have them -> the folder and the Feast file of a use case."""
