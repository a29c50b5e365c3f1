"""
A process that watches a run from outside: what threads of services wait for, how fast cores are.

All of it but `process` runs in that process, which starts without site-packages: it imports the
standard library alone.
"""
