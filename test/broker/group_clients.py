#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Consumer groups with real clients: group_clients.py CLIENT STEP PORT, exit 0 when the step went as it must.

CLIENT is confluent (librdkafka) or kafka-python. Steps are run one after the other by group_clients_test.c, which
restarts the server between some of them; `through-restart` runs while it does.
"""
import sys
import threading
import time

PARTITIONS = 4
DEADLINE = time.time() + 300  # for what must come: a busy machine is no failure


def until(condition, what):
    while not condition():
        time.sleep(0.02)
        if time.time() > DEADLINE:
            sys.exit(f"timed out: {what}")


class Confluent:
    def __init__(self, port):
        import confluent_kafka
        from confluent_kafka.admin import AdminClient, NewTopic

        self.ck, self.admin_client, self.new_topic = confluent_kafka, AdminClient, NewTopic
        self.base = {"bootstrap.servers": f"127.0.0.1:{port}"}

    def create(self, topic):
        admin = self.admin_client(self.base)
        for future in admin.create_topics([self.new_topic(topic, PARTITIONS, 1)]).values():
            future.result(20)

    def produce(self, topic, first, count):
        producer = self.ck.Producer(self.base)
        for i in range(first, first + count):
            producer.produce(topic, str(i).encode(), partition=i % PARTITIONS)
        if producer.flush(120):
            sys.exit("not everything was produced")

    def consumer(self, group, topic, **more):
        config = dict(self.base)
        config.update({"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
                       "session.timeout.ms": 30000, "heartbeat.interval.ms": 500})
        config.update(more)
        consumer = self.ck.Consumer(config)
        self.rebalances = 0

        def assigned(_, partitions):
            self.rebalances += 1

        consumer.subscribe([topic], on_assign=assigned)
        return consumer

    def poll(self, consumer):
        message = consumer.poll(0.1)
        if message is None:
            return []
        if message.error():
            print("error", message.error(), file=sys.stderr)
            return []
        return [int(message.value())]

    def assignment(self, consumer):
        return sorted(p.partition for p in consumer.assignment())

    def commit(self, consumer):
        consumer.commit(asynchronous=False)

    def close(self, consumer):
        consumer.close()


class KafkaPython:
    def __init__(self, port):
        import kafka
        from kafka.admin import KafkaAdminClient, NewTopic

        self.kafka, self.admin_client, self.new_topic = kafka, KafkaAdminClient, NewTopic
        self.base = {"bootstrap_servers": f"127.0.0.1:{port}"}

    def create(self, topic):
        admin = self.admin_client(**self.base)
        admin.create_topics([self.new_topic(topic, PARTITIONS, 1)])
        admin.close()

    def produce(self, topic, first, count):
        producer = self.kafka.KafkaProducer(**self.base)
        for i in range(first, first + count):
            producer.send(topic, str(i).encode(), partition=i % PARTITIONS)
        producer.flush(120)
        producer.close()

    def consumer(self, group, topic, **more):
        return self.kafka.KafkaConsumer(topic, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                                        session_timeout_ms=30000, heartbeat_interval_ms=500, **self.base)

    def poll(self, consumer):
        return [int(m.value) for batch in consumer.poll(100).values() for m in batch]

    def assignment(self, consumer):
        return sorted(p.partition for p in consumer.assignment())

    def commit(self, consumer):
        consumer.commit()

    def close(self, consumer):
        consumer.close()


class Member(threading.Thread):
    """One consumer with a thread of its own: kafka-python blocks in poll while its group rebalances."""

    def __init__(self, client, topic, group):
        super().__init__(daemon=True)
        self.client, self.topic, self.group = client, topic, group
        self.seen, self.assigned, self.failure = [], [], None
        self.commits_wanted = self.commits_done = 0
        self.leaving = threading.Event()
        self.start()

    def run(self):
        try:
            consumer = self.client.consumer(self.group, self.topic)
            while not self.leaving.is_set():
                self.seen += self.client.poll(consumer)
                self.assigned = self.client.assignment(consumer)
                if self.commits_done < self.commits_wanted:
                    self.client.commit(consumer)
                    self.commits_done += 1
            self.client.close(consumer)
        except Exception as e:  # told to the main thread
            self.failure = e

    def check(self):
        if self.failure:
            sys.exit(f"consumer failed: {self.failure!r}")

    def commit(self):
        self.commits_wanted += 1

        def committed():
            self.check()
            return self.commits_done == self.commits_wanted

        until(committed, "commit")

    def leave(self):
        self.leaving.set()
        self.join(120)
        self.check()

    def expect(self, values, what):
        """Waits until it has seen these after all it had seen before, and each once."""

        def there():
            self.check()
            return set(values) <= set(self.seen)

        until(there, what)
        if sorted(self.seen) != sorted(set(self.seen)):
            sys.exit(f"{what}: records twice")


def step_share(client, topic, group):
    client.create(topic)
    client.produce(topic, 0, 400)
    one, two = Member(client, topic, group), Member(client, topic, group)

    def shared():
        one.check(), two.check()
        return len(one.assigned) == 2 and sorted(one.assigned + two.assigned) == list(range(PARTITIONS))

    until(shared, "two consumers share four partitions")
    client.produce(topic, 400, 400)
    until(lambda: set(range(400, 800)) <= set(one.seen + two.seen), "both get the new records")
    one.commit()
    two.commit()
    two.leave()
    until(lambda: one.assigned == list(range(PARTITIONS)), "the one who stays takes over")
    before = len(one.seen)
    client.produce(topic, 800, 100)
    until(lambda: len(one.seen) >= before + 100, "all records come to the one who stays")
    if sorted(one.seen[before:]) != list(range(800, 900)):
        sys.exit(f"after the take-over: {sorted(one.seen[before:])[:5]} .. {len(one.seen) - before}")
    one.commit()
    one.leave()


def step_resume(client, topic, group):
    client.produce(topic, 900, 100)
    member = Member(client, topic, group)
    member.expect(range(900, 1000), "resume where the group had committed")
    if len(member.seen) != 100:
        sys.exit(f"resumed at {min(member.seen)}, {len(member.seen)} records")
    member.commit()
    member.leave()


def step_through_restart(client, topic, group):
    """One consumer lives through a restart of the server and goes on without a record twice."""
    client.produce(topic, 1000, 100)
    member = Member(client, topic, group)
    member.expect(range(1000, 1100), "before the restart")
    member.commit()
    print("ready", flush=True)
    sys.stdin.readline()  # the server is back
    client.produce(topic, 1100, 100)
    member.expect(range(1000, 1200), "after the restart")
    member.commit()
    if getattr(client, "rebalances", 1) != 1:
        sys.exit(f"{client.rebalances} rebalances: a restart should need none")
    member.leave()


def step_admin(client, topic, group):
    """Kafka's admin client of kafka-python: list, describe, offsets, delete."""
    if not isinstance(client, KafkaPython):
        return
    admin = client.admin_client(**client.base)
    listed = dict(admin.list_consumer_groups())
    if listed.get(group) != "consumer":
        sys.exit(f"listed: {listed}")
    described = admin.describe_consumer_groups([group])[0]
    if described.state != "Empty" or described.members:
        sys.exit(f"described: {described}")
    member = Member(client, topic, group)
    until(lambda: len(member.assigned) == PARTITIONS, "a member for the description")
    described = admin.describe_consumer_groups([group])[0]
    assigned = described.members[0].member_assignment.assignment
    if described.state != "Stable" or sorted(assigned[0][1]) != list(range(PARTITIONS)):
        sys.exit(f"described: {described}")
    if dict(admin.delete_consumer_groups([group]))[group].__name__ != "NonEmptyGroupError":
        sys.exit("a group with members was deleted")
    member.leave()
    offsets = admin.list_consumer_group_offsets(group)
    if sorted(p.partition for p in offsets) != list(range(PARTITIONS)) or sum(o.offset for o in offsets.values()) != 1200:
        sys.exit(f"offsets: {offsets}")
    if dict(admin.delete_consumer_groups([group]))[group].__name__ != "NoError":
        sys.exit("the group was not deleted")
    if group in dict(admin.list_consumer_groups()):
        sys.exit("the group is still there")
    admin.close()


def main():
    name, step, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    try:
        client = {"confluent": Confluent, "kafka-python": KafkaPython}[name](port)
    except ImportError as e:
        print(e, file=sys.stderr)
        sys.exit(77)
    topic, group = f"topic-{name}", f"group-{name}"
    steps = {"share": step_share, "resume": step_resume, "through-restart": step_through_restart, "admin": step_admin}
    steps[step](client, topic, group)


main()
