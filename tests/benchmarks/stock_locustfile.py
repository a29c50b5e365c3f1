"""What a user of plain Locust would write: the yardstick for the generator's throughput."""

from locust import FastHttpUser, task


class Stock(FastHttpUser):
    @task
    def ask(self):
        self.client.get("/external-data")
