"""The sweep as a person sees it, in a terminal or a log: facts, read from the results, and their drawing."""
