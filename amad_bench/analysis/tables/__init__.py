"""Makers of tables, one file each: `MAKERS` in amad_bench/analysis/compared.py calls them."""
