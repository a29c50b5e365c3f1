"""One token for all users, fetched when the test starts, and forgotten when it stops."""

import requests
from locust import FastHttpUser, events, task

SHARED = {}


@events.test_start.add_listener
def fetch(environment, **_):
    answer = requests.post(f"{environment.host}/login", json={"user": "all"}, timeout=5)
    SHARED["token"] = answer.json()["token"]


@events.test_stop.add_listener
def forget(environment, **_):
    requests.get(f"{environment.host}/health", timeout=5)
    SHARED.clear()


class Sharer(FastHttpUser):
    @task
    def private(self):
        self.client.get("/private", headers={"Authorization": SHARED["token"]})
