"""Tasks of different weights, with a name for many URLs."""

import random

from locust import FastHttpUser, task


class Browser(FastHttpUser):
    @task(3)
    def item(self):
        self.client.get(f"/items/{random.randint(1, 1000)}", name="/items/[id]")

    @task
    def front_page(self):
        self.client.get("/things")
