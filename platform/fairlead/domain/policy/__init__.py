"""What may be done, by whom, and with whose consent: policy documents and the judge that applies them."""
