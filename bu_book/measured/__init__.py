"""What the chapters ask of an experiment and `bu_core` does not need: measurements, which run without the book."""
