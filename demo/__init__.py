"""`make demo`: twelve invoices through a governed workflow, end to end, on real engines."""
