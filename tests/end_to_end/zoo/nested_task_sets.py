"""TaskSets in TaskSets, with a way out of the inner one."""

from locust import FastHttpUser, TaskSet, task


class Forum(FastHttpUser):
    @task
    class Threads(TaskSet):
        @task(3)
        def read(self):
            self.client.get("/threads/1")

        @task
        class Reply(TaskSet):
            @task
            def write(self):
                self.client.post("/replies", json={"text": "yes"})
                self.interrupt(reschedule=False)

        @task
        def leave(self):
            self.client.get("/threads")
            self.interrupt()
