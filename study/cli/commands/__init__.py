"""Command lines, a file a command: its flags and which go together; what does the work is imported when it is called.

All of that together takes longer to import than some commands take.
"""
