"""An answer that is read piece by piece, with the time to its first piece as an event."""

from time import perf_counter

from locust import HttpUser, task


class Listener(HttpUser):
    @task
    def listen(self):
        began, first = perf_counter(), None
        with self.client.get("/stream", stream=True, catch_response=True) as response:
            for _ in response.iter_lines():
                first = first or perf_counter() - began
            response.success()
        self.environment.events.request.fire(
            request_type="TTFB",
            name="first piece",
            response_time=(first or 0.0) * 1000,
            response_length=0,
            exception=None,
            context={},
        )
