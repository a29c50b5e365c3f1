"""The load generator: Locust, playing stages and returning slices.

The only folder that imports Locust, which patches its whole process (gevent); so it runs as a
process of its own. It decides nothing: the controller says what comes next.
"""
