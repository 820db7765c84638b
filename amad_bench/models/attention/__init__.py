"""Attention as a loss sees it: `recorder` collects it, `adapters` read each kind of block, `trace` is it."""
