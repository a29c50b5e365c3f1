"""A shape of its own, which the plan's levels take the place of."""

from locust import FastHttpUser, LoadTestShape, task


class Steps(LoadTestShape):
    def tick(self):
        run_time = self.get_run_time()
        return (int(run_time) // 5 * 10 + 10, 10) if run_time < 60 else None


class Stepper(FastHttpUser):
    @task
    def look(self):
        self.client.get("/things")
