"""Two kinds of users, three of the one for one of the other."""

from locust import FastHttpUser, constant, task


class Casual(FastHttpUser):
    weight = 3
    wait_time = constant(0.1)

    @task
    def look(self):
        self.client.get("/things")


class Keen(FastHttpUser):
    weight = 1

    @task
    def buy(self):
        self.client.post("/orders", json={"item": 3})
