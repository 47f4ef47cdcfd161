"""Reports: numbers in, pictures and pages out."""
