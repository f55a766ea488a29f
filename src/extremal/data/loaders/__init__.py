"""One file per format. Each returns a checked `Dataset` or raises one `DataError` that names file, field and row."""
