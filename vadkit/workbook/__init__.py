"""The command and the ordered run of the notebooks."""
