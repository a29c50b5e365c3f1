"""A session in a cookie; a task that goes wrong now and then, as scenarios do."""

import random

from locust import HttpUser, constant, task


class Clumsy(HttpUser):
    wait_time = constant(0.05)

    def on_start(self):
        self.client.post("/login", data={"user": "eve"})

    @task(9)
    def private(self):
        self.client.get("/private")

    @task(1)
    def stumble(self):
        answer = self.client.get("/things").json()
        if random.random() < 0.5:
            print(answer["price"])
