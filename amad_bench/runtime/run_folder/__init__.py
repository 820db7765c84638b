"""The run folder: the places of its files, and a module for each record, writer and reader together."""
