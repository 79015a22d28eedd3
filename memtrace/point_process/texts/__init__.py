"""Statistics whose unit is the text: copies of one text are one result."""
