"""A client of Argilla's HTTP interface: datasets, records, responses."""
