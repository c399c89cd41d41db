"""From bytes to datasets: store, ingest, fusion, build, report, command line."""
