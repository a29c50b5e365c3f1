"""The rest client, which reads JSON and takes assertions for failures."""

from locust import FastHttpUser, task


class Machine(FastHttpUser):
    @task
    def things(self):
        with self.rest("GET", "/things") as response:
            assert response.js["items"] == [1, 2, 3]
