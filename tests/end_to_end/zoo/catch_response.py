"""Answers that the user judges: an expected 404 is a success, a wrong body a failure."""

from locust import HttpUser, task


class Judge(HttpUser):
    @task
    def missing(self):
        with self.client.get("/missing", catch_response=True) as response:
            if response.status_code == 404:
                response.success()

    @task
    def in_stock(self):
        with self.client.get("/things", catch_response=True) as response:
            if not response.json()["in_stock"]:
                response.failure("sold out")
