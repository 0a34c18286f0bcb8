"""What proves a ledger, and what checks the proof: hashes, trees, signed heads, exports.

It stands alone: the standard library, `cryptography` and `rfc8785`. Whoever checks an export needs this folder and no
server: `python -m fairlead_ledger verify FILE`.
"""
