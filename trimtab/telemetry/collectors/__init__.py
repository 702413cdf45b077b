"""One collector a part of the library, read when it is scraped: a request pays for plain counters only."""
