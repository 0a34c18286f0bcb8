"""Connectors as packages and in the catalogue: what is signed, what may follow what, what the installation decided.

package.py the signed file · versions.py which version is newer · widening.py what one schema takes and
another does not · compatibility.py what may follow under the same major version · catalogue.py what was decided here
"""
