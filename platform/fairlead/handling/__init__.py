"""One command: load, decide, append. The only place that does all three; it retries StreamMoved and nothing else.

handler.py the loop · rulebook.py what decides about a run besides its history · dispatch.py what follows an append ·
capabilities.py the right to calls that orders carry
"""
