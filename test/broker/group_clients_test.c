/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consumer groups with real clients (librdkafka by confluent_kafka and kcat, kafka-python) against
 * a server in this process, which is stopped and started between their steps. Skipped where a
 * client is not installed.
 */
#include "test/lib/kafka_server.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRIPT "test/broker/group_clients.py"

static struct kafka_server server;

static int start(void **state)
{
	(void)state;
	kafka_server_start(&server, "uring", NULL);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kafka_server_remove(&server);
	return 0;
}

/* Clients that stay connected come back to the same port. */
static void restart(void)
{
	struct broker_listener here = {.port = server.port};
	struct broker_options same = {.listeners = &here, .listener_count = 1};
	kafka_server_stop(&server);
	kafka_server_start(&server, "uring", &same);
}

struct client {
	pid_t pid;
	int in, out; /* its standard input and output */
};

static struct client spawn(char *const *argv)
{
	int in[2], out[2];
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	struct client c = {.pid = fork(), .in = in[1], .out = out[0]};
	assert_true(c.pid >= 0);
	if (c.pid == 0) {
		alarm(400); /* it dies with us or soon after */
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	return c;
}

/* Its exit code; 128 + signal when it was killed. */
static int finish(struct client *c)
{
	int status;
	close(c->in);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	close(c->out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static struct client script(const char *client, const char *step)
{
	char port[8], name[32], what[32];
	char python[] = "/usr/bin/python3", path[] = SCRIPT;
	snprintf(port, sizeof port, "%u", (unsigned)server.port);
	snprintf(name, sizeof name, "%s", client);
	snprintf(what, sizeof what, "%s", step);
	char *argv[] = {python, path, name, what, port, NULL};
	return spawn(argv);
}

static void run_step(const char *client, const char *step)
{
	struct client c = script(client, step);
	int rc = finish(&c);
	if (rc == 77)
		skip();
	assert_int_equal(rc, 0);
}

static void live_through_restart(const char *client)
{
	char line[16] = "";
	struct client c = script(client, "through-restart");
	ssize_t n = read(c.out, line, sizeof line - 1);
	assert_true(n > 0 && strncmp(line, "ready", 5) == 0);
	restart();
	assert_int_equal(write(c.in, "go\n", 3), 3);
	assert_int_equal(finish(&c), 0);
}

static void librdkafka_shares_takes_over_and_resumes(void **state)
{
	(void)state;
	run_step("confluent", "share");
	restart();
	run_step("confluent", "resume");
	live_through_restart("confluent");
}

static void kafka_python_shares_takes_over_and_resumes(void **state)
{
	(void)state;
	run_step("kafka-python", "share");
	restart();
	run_step("kafka-python", "resume");
	live_through_restart("kafka-python");
	run_step("kafka-python", "admin");
}

/* Lines that `kcat ARGS` writes when it gets `text` to read; -1 when there is no kcat. */
static int kcat_lines(const char *mode, const char *topic, const char *text)
{
	char broker[32], kcat[] = "kcat", b[] = "-b", x[] = "-X",
	                 reset[] = "auto.offset.reset=earliest", e[] = "-e", q[] = "-q";
	char m[8], g[] = "kcat-group", t[32];
	snprintf(broker, sizeof broker, "127.0.0.1:%u", (unsigned)server.port);
	snprintf(m, sizeof m, "%s", mode);
	snprintf(t, sizeof t, "%s", topic);
	char topic_flag[] = "-t";
	char *produce[] = {kcat, b, broker, m, topic_flag, t, NULL};
	char *consume[] = {kcat, b, broker, q, x, reset, e, m, g, t, NULL};
	struct client c = spawn(strcmp(mode, "-P") == 0 ? produce : consume);
	size_t len = strlen(text);
	assert_true(len == 0 || write(c.in, text, len) == (ssize_t)len);
	close(c.in);
	c.in = dup(STDERR_FILENO);
	int lines = 0;
	char buf[4096];
	ssize_t n;
	while ((n = read(c.out, buf, sizeof buf)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			lines += buf[i] == '\n';
	}
	int rc = finish(&c);
	if (rc == 127)
		skip();
	assert_int_equal(rc, 0);
	return lines;
}

static void kcat_in_a_group_reads_each_record_once(void **state)
{
	(void)state;
	assert_int_equal(kcat_lines("-P", "kt", "1\n2\n3\n4\n5\n"), 0);
	assert_int_equal(kcat_lines("-G", "kt", ""), 5);
	assert_int_equal(kcat_lines("-P", "kt", "6\n7\n"), 0);
	restart();
	assert_int_equal(kcat_lines("-G", "kt", ""), 2);
	assert_int_equal(kcat_lines("-G", "kt", ""), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, start, stop)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(kcat_in_a_group_reads_each_record_once),
	    CASE(librdkafka_shares_takes_over_and_resumes),
	    CASE(kafka_python_shares_takes_over_and_resumes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
