"""What a person sees of a sweep, in a terminal or a log: facts, read from the results, and their drawing."""
