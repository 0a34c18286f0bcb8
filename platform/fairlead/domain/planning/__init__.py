"""What comes next in a run. seam.py is the question and the answers; steps.py answers for declared steps."""
