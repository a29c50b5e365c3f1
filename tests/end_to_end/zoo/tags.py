"""Tasks with tags; the plan leaves those out that change something."""

from locust import FastHttpUser, tag, task


class Tagged(FastHttpUser):
    @tag("reads")
    @task
    def read(self):
        self.client.get("/things")

    @tag("writes", "danger")
    @task
    def write(self):
        self.client.delete("/things/1")
