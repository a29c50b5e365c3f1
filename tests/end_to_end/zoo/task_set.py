"""A TaskSet of its own, which logs in when it begins."""

from locust import HttpUser, TaskSet, constant, task


class Behaviour(TaskSet):
    def on_start(self):
        self.client.post("/login", json={"user": "anna"})

    @task
    def private(self):
        self.client.get("/private")


class Member(HttpUser):
    tasks = [Behaviour]  # noqa: RUF012
    wait_time = constant(0.1)
