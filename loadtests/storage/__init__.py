"""The folders of runs, and the list of saved ones."""
