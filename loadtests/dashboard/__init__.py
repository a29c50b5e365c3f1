"""What happens, for the pages of Locust's web UI: the controller's side of them.

The controller computes everything between two stages and hands it over ready to be sent, so that a
page costs the load generator no more than copying some bytes. What a page asks for comes back over
the same line as the engine's reports, and is answered while the next of these is awaited.
"""
