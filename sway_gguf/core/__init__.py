"""Values that travel between the layers: views, queries, answers, measurements, errors."""
