"""A number of tasks per second at most."""

from locust import FastHttpUser, constant_throughput, task


class Meter(FastHttpUser):
    wait_time = constant_throughput(4)

    @task
    def report(self):
        self.client.put("/readings/1", json={"value": 7})
