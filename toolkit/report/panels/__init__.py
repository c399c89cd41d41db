"""The panels of the report page: a file each, listed in the registry."""
