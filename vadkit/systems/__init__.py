"""Every system of both papers, trained, cached, scored and recorded in one way."""
