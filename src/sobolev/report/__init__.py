"""What a person looks at in the end: the report of a run, and tables of predictions."""
