"""From a store to a dataset: choose pairs, check gates, write Parquet and its card."""
