"""The planner `model`: what a model is shown, what of its answers becomes a decision, and who takes over when.

Pure like every planner: all that was said so far is read from the outcomes of the run (history.py), shown again
(transcript.py, fencing.py, offering.py), and weighed (thresholds.py); planner.py decides.
"""
