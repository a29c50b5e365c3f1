"""The HttpUser example on the faster client."""

from locust import FastHttpUser, task


class FastVisitor(FastHttpUser):
    @task
    def look(self):
        self.client.get("/things")
