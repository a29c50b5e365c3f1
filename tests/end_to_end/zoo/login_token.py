"""A token from on_start in a header of all that follows, and a log-out."""

from locust import FastHttpUser, task


class Account(FastHttpUser):
    def on_start(self):
        token = self.client.post("/login", json={"user": "ben"}).json()["token"]
        self.headers = {"Authorization": f"Bearer {token}"}

    @task
    def private(self):
        self.client.get("/private", headers=self.headers)

    def on_stop(self):
        self.client.post("/login", json={"user": "ben", "out": True}, name="/logout")
