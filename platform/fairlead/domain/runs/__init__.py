"""The run: one execution of one workflow version, as facts, states and decisions.

events.py what can have happened · states.py what is remembered · folding.py how facts change it ·
commands.py what can be asked · decide.py the answer · outcomes.py what becomes of a call ·
interventions.py what people and outside events change · advance.py what follows by itself ·
obligations.py what the world owes the run
"""
