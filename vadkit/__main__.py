"""The `vadkit` command as `python -m vadkit`."""

from vadkit.workbook.cli import main

main()
