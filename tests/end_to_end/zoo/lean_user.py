"""brownout's own client in a locustfile."""

from locust import task

from loadtests.engine.lean import LeanUser


class Lean(LeanUser):
    @task
    def order(self):
        self.client.get("/things", params={"page": 2}, name="/things")
