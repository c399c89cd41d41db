"""What a fit foretells of judgements that it has not seen."""
