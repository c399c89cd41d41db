"""People as annotators: rubrics, campaigns, agreement. Stands on schemas."""
