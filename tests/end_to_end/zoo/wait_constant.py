"""Users that pause for the same time."""

from locust import FastHttpUser, constant, task


class Clerk(FastHttpUser):
    wait_time = constant(0.2)

    @task
    def read(self):
        self.client.get("/things")
