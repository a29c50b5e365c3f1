"""A pause that the user computes itself: longer and longer, then short again."""

from locust import FastHttpUser, task


class Impatient(FastHttpUser):
    turn = 0

    def wait_time(self):
        self.turn = self.turn % 3 + 1
        return 0.05 * self.turn

    @task
    def look(self):
        self.client.get("/things")
