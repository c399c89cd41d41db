"""Quote names and texts that come from outside, so that SQL takes them for nothing else."""


def quote_name(name: str) -> str:
    """Quote a column's or table's name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Quote a text, such as a path, as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
