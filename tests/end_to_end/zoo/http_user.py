"""The first example of any guide: one task, no pause."""

from locust import HttpUser, task


class Visitor(HttpUser):
    @task
    def look(self):
        self.client.get("/things")
