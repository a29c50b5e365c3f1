"""An option of its own, and a pause that is set when Locust has started."""

from locust import FastHttpUser, constant, events, task


@events.init_command_line_parser.add_listener
def options(parser):
    parser.add_argument("--model", default="small", help="Which model to ask")
    parser.add_argument("--think-time", type=float, default=100, help="Pause in ms")


@events.init.add_listener
def pauses(environment, **_):
    Asker.wait_time = constant(environment.parsed_options.think_time / 1000)


class Asker(FastHttpUser):
    @task
    def ask(self):
        self.client.post("/chat", json={"model": self.environment.parsed_options.model})
