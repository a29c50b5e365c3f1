"""A session in a cookie; a task that goes wrong now and then, as scenarios do."""

from locust import HttpUser, constant, task


class Clumsy(HttpUser):
    wait_time = constant(0.05)
    visits = 0

    def on_start(self):
        self.client.post("/login", data={"user": "eve"})

    @task
    def private(self):
        self.client.get("/private")
        self.visits += 1
        if self.visits % 20 == 1:  # the first one, too: a test counts on it
            self.stumble()

    def stumble(self):
        answer = self.client.get("/things").json()
        print(answer["price"])
