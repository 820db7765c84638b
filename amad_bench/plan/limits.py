"""Highest numbers that a config may say: far above any real use, so that a slip has an end."""

MOST_RECORDS = 1_000_000_000  # and steps
MOST_IMAGES = 1_000_000  # generated
LARGEST_VOCABULARY = 1_000_000
LARGEST_SIZE = 65_536  # of a vector, of a batch
LARGEST_LENGTH = 4_096  # pixels of a side, regions, tokens
MOST_PARTS = 1_024  # layers, heads, rows, columns, beams, replicates, processes
LARGEST_NUMBER = 1e30  # that need not be whole: a run with it diverges, which is a row and no error
LARGEST_SEED = 2**63 - 1
MOST_STUDENTS = 100_000  # of a plan
