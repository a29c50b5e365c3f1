"""A client of its own, which reports its calls by the request event as "RPC"."""

from time import perf_counter

import requests
from locust import User, task


class RpcClient:
    def __init__(self, host, event):
        self.host, self.event, self.session = host, event, requests.Session()

    def call(self, method, *params):
        began, error, size = perf_counter(), None, 0
        try:
            body = {"method": method, "params": params}
            answer = self.session.post(f"{self.host}/rpc", json=body, timeout=10)
            answer.raise_for_status()
            size = len(answer.content)
        except requests.RequestException as failure:
            error = failure
        self.event.fire(
            request_type="RPC",
            name=method,
            response_time=(perf_counter() - began) * 1000,
            response_length=size,
            exception=error,
            context={},
        )


class Caller(User):
    def __init__(self, environment):
        super().__init__(environment)
        self.client = RpcClient(self.host, environment.events.request)

    @task
    def add(self):
        self.client.call("add", 1, 2)
