"""One module per schema, each with the step from the one before."""
