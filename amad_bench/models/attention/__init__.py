"""Attention as a loss sees it: `kinds` find it, `adapters` read it, `recorder` collects it, `trace` is it."""
