"""Tasks as functions in a dictionary of weights."""

from locust import FastHttpUser


def index(user):
    user.client.get("/things")


def search(user):
    user.client.get("/search", params={"q": "kettle"}, name="/search")


class Searcher(FastHttpUser):
    tasks = {index: 2, search: 1}  # noqa: RUF012
