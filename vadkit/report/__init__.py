"""Numbers beside the printed ones: rows, verdicts, tables and figures."""
