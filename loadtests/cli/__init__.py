"""The command line: one function a command, arguments, progress."""
