"""Benchmarks of every stage, each one verb of `osteo bench`: a table, a plot where asked for, one line of JSON last."""
