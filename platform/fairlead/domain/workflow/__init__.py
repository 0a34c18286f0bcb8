"""The workflow document: what one named task may do, in which order, and within which limits.

document.py its shape · reading.py from plain data to it · schema.py its JSON Schema · references.py what an expression
reads · plain.py, shape.py, surface.py, flow.py the checks · validation.py all of them at once
"""
