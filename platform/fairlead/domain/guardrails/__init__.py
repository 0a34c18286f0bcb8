"""What is looked for in texts that go to a model and come from one: findings.py says what is found and done about it,
a module for each kind of thing says how, inspecting.py looks through a whole value.

Everything here takes time in proportion to the text: patterns are RE2's, and what they cannot say is counted by hand.
"""
