"""One administrator, however many others there are."""

from locust import FastHttpUser, constant, task


class Administrator(FastHttpUser):
    fixed_count = 1
    wait_time = constant(0.5)

    @task
    def check(self):
        self.client.get("/admin")


class Customer(FastHttpUser):
    @task
    def look(self):
        self.client.get("/things")
