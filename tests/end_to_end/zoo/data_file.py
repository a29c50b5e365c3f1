"""Test data that the users take in turn from a list."""

from itertools import cycle

from locust import FastHttpUser, constant, task

PEOPLE = cycle(["anna", "ben", "carla", "dora"])


class Person(FastHttpUser):
    wait_time = constant(0.05)

    def on_start(self):
        self.name = next(PEOPLE)
        self.client.post("/login", json={"user": self.name})

    @task
    def profile(self):
        self.client.get(f"/people/{self.name}", name="/people/[name]")
