"""Files that unpack to more than they hold: gzip, bzip2, zip, Parquet and workbooks, each with a bound."""
