"""Users that send four requests at a time, as a browser does."""

from gevent.pool import Pool
from locust import FastHttpUser, task


class Page(FastHttpUser):
    @task
    def open(self):
        calls = Pool(4)
        for part in ("head", "list", "offers", "basket"):
            calls.spawn(self.client.get, f"/parts/{part}", name="/parts")
        calls.join()
