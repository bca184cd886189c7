"""In-place writes, conversions, and what a compiler must be told."""
