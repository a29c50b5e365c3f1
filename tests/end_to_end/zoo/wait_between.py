"""Users that pause for a random time."""

from locust import FastHttpUser, between, task


class Reader(FastHttpUser):
    wait_time = between(0.1, 0.3)

    @task
    def read(self):
        self.client.get("/things")
