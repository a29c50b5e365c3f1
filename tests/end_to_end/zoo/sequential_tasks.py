"""A journey, step by step."""

from locust import FastHttpUser, SequentialTaskSet, between, task


class Checkout(SequentialTaskSet):
    @task
    def basket(self):
        self.client.get("/basket")

    @task
    def address(self):
        self.client.post("/address", json={"street": "High Street"})

    @task
    def pay(self):
        self.client.post("/pay", json={"amount": 12})


class Buyer(FastHttpUser):
    tasks = [Checkout]  # noqa: RUF012
    wait_time = between(0.02, 0.08)
