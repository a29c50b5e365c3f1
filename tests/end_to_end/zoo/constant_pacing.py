"""A task every so often, as long as it does not take longer."""

from locust import FastHttpUser, constant_pacing, task


class Sensor(FastHttpUser):
    wait_time = constant_pacing(0.25)

    @task
    def report(self):
        self.client.post("/readings", json={"value": 21.5})
