/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kappa demo: the first minutes. Each step is a real command of this program, printed before it
 * runs; the server is a process of its own with a temp directory and free ports.
 * $XDG_STATE_HOME/kappa/demo says where, for `demo fix` and `demo stop`.
 */
#include "log/base/json.h"
#include "tools/commands.h"
#include "tools/demo_sql.h"
#include "tools/quakes.h"
#include "tools/text_file.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	READY_TRIES = 600,
	READY_PAUSE_MS = 50,
	EVENTS = 200000,
	MORE_EVENTS = 20000,
	ARGS_MAX = 24
};

struct demo {
	char dir[256];
	char state_path[4096]; /* the file that names dir */
	char kafka[300], http[310], token[128];
	long pid;
	bool failed;
};

static void pause_ms(int64_t ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * MS_NS};
	nanosleep(&t, NULL);
}

/* ---- events ---------------------------------------------------------------------------------- */

enum exit_code cmd_demo_events(struct cli *cli)
{
	int64_t count = EVENTS, skip = 0, seed = 1;
	if (!cli_number(cli, "count", 0, &count) || !cli_number(cli, "skip", 0, &skip) ||
	    !cli_number(cli, "seed", 0, &seed))
		return EXIT_USAGE;
	struct quakes q;
	char line[QUAKE_JSON_MAX + 1];
	quakes_init(&q, (uint64_t)seed);
	for (int64_t i = 0; i < skip + count; i++) {
		size_t n = quakes_next(&q, line, QUAKE_JSON_MAX);
		line[n] = '\n';
		if (i >= skip && fwrite(line, 1, n + 1, stdout) != n + 1)
			return EXIT_FAILED;
	}
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

/* ---- running commands ------------------------------------------------------------------------ */

/* What a person would type: the words, quoted where they need it. */
static void show(char *const *argv)
{
	printf("\n$ kappa");
	for (int i = 1; argv[i]; i++)
		printf(
		    strpbrk(argv[i], " *()'\"\\<>$;&|%") || !*argv[i] ? " \"%s\"" : " %s", argv[i]);
	printf("\n");
	fflush(stdout);
}

static void fill_argv(char **argv, va_list ap)
{
	int n = 1;
	union {
		const char *in;
		char *out;
	} word;
	while (n < ARGS_MAX - 1 && (word.in = va_arg(ap, const char *)))
		argv[n++] = word.out;
	argv[n] = NULL;
}

static pid_t start(char *const *argv, int in_fd, int out_fd)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	if (in_fd >= 0)
		dup2(in_fd, STDIN_FILENO);
	if (out_fd >= 0)
		dup2(out_fd, STDOUT_FILENO);
	execv("/proc/self/exe", argv);
	_exit(127);
}

static bool finished_well(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Prints and runs `kappa ARGS...` (NULL-terminated); remembers a failure. */
static void run(struct demo *d, ...)
{
	char *argv[ARGS_MAX], name[] = "kappa";
	va_list ap;
	if (d->failed)
		return;
	va_start(ap, d);
	fill_argv(argv, ap);
	va_end(ap);
	argv[0] = name;
	show(argv);
	pid_t pid = start(argv, -1, -1);
	d->failed = pid < 0 || !finished_well(pid);
}

/* demo events | produce, both of this program. Returns the producer's pid. */
static pid_t produce(struct demo *d, const char *count, const char *skip)
{
	char *events[] = {(char[]){"kappa"}, (char[]){"demo"}, (char[]){"events"},
	    (char[]){"--count"}, strdup(count), (char[]){"--skip"}, strdup(skip), NULL};
	char *sink[] = {(char[]){"kappa"}, (char[]){"produce"}, (char[]){"quakes"},
	    (char[]){"--ndjson"}, (char[]){"--key"}, (char[]){".id"}, (char[]){"--timestamp"},
	    (char[]){".updated"}, NULL};
	int fds[2];
	pid_t pid = -1;
	if (!d->failed && pipe2(fds, O_CLOEXEC) == 0) {
		printf("\n$ kappa demo events --count %s --skip %s | kappa produce quakes --ndjson "
		       "--key .id --timestamp .updated\n",
		    count, skip);
		pid_t source = start(events, -1, fds[1]);
		pid = start(sink, fds[0], -1);
		close(fds[0]);
		close(fds[1]);
		d->failed = source < 0 || pid < 0;
	}
	free(events[4]);
	free(events[6]);
	return pid;
}

/* ---- where the demo is ----------------------------------------------------------------------- */

static enum err state_path(struct demo *d)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char dir[3000];
	if (state && *state)
		snprintf(dir, sizeof dir, "%s", state);
	else
		snprintf(dir, sizeof dir, "%s/.local/state", home && *home ? home : "/tmp");
	snprintf(d->state_path, sizeof d->state_path, "%s/kappa/demo", dir);
	struct io *io;
	TRY(io_new("threads", &io));
	snprintf(dir + strlen(dir), sizeof dir - strlen(dir), "/kappa");
	enum err e = io_mkdir_all(io, dir);
	io_free(io);
	return e;
}

static enum err write_text(const char *dir, const char *name, const char *text)
{
	char path[4300];
	snprintf(path, sizeof path, "%s%s%s", dir, *name ? "/" : "", name);
	FILE *f = fopen(path, "we");
	if (!f)
		return err_sys("create %s", path);
	bool ok = fputs(text, f) >= 0;
	return fclose(f) == 0 && ok ? ERR_OK : err_sys("write %s", path);
}

static void copy_text(char *out, size_t len, struct str s)
{
	snprintf(out, len, STR_FMT, STR_ARG(s));
}

/* Reads endpoints.json and the token of the demo's server, and points the environment at it. */
static enum err find_server(struct demo *d)
{
	static const struct json_path_spec specs[] = {
	    {{"kafka", 5}, false, true}, {{"http", 4}, false, true}, {{"pid", 3}, false, true}};
	char path[512], http[300];
	struct bytes content;
	struct json_paths *paths;
	struct json_value v[3];
	int64_t pid = 0;
	snprintf(path, sizeof path, "%s/data/endpoints.json", d->dir);
	TRY(text_file_read(path, &content));
	enum err e = json_paths_new(specs, 3, &paths);
	if (e == ERR_OK) {
		e = json_scan(paths, bytes_str(content), v);
		json_paths_free(paths);
	}
	if (e == ERR_OK) {
		copy_text(d->kafka, sizeof d->kafka, v[0].text);
		copy_text(http, sizeof http, v[1].text);
		if (!str_to_i64(v[2].text, &pid))
			e = err_note(ERR_BAD_VALUE, "%s: no pid", path);
	}
	text_file_release(&content);
	TRY(e);
	d->pid = (long)pid;
	snprintf(d->http, sizeof d->http, "http://%s", http);
	snprintf(path, sizeof path, "%s/data/http.token", d->dir);
	TRY(text_file_read(path, &content));
	copy_text(d->token, sizeof d->token, bytes_str(content));
	d->token[strcspn(d->token, "\n")] = 0;
	text_file_release(&content);
	setenv("KAPPA_BOOTSTRAP_SERVERS", d->kafka, 1);
	setenv("KAPPA_HTTP", d->http, 1);
	setenv("KAPPA_TOKEN", d->token, 1);
	return ERR_OK;
}

static enum err find_demo(struct demo *d)
{
	struct bytes content;
	TRY(state_path(d));
	if (text_file_read(d->state_path, &content) != ERR_OK) {
		err_clear();
		return err_note(ERR_NOT_FOUND, "no demo is running here");
	}
	copy_text(d->dir, sizeof d->dir, bytes_str(content));
	d->dir[strcspn(d->dir, "\n")] = 0;
	text_file_release(&content);
	TRY(find_server(d));
	if (kill((pid_t)d->pid, 0) != 0)
		return err_note(ERR_NOT_FOUND, "the demo's server (pid %ld) is gone", d->pid);
	return ERR_OK;
}

/* ---- first act ------------------------------------------------------------------------------- */

static enum err start_server(struct demo *d)
{
	char data[300], log[300];
	const char *tmp = getenv("TMPDIR");
	snprintf(d->dir, sizeof d->dir, "%s/kappa-demo-XXXXXX",
	    tmp && *tmp && strlen(tmp) < 200 ? tmp : "/tmp");
	if (!mkdtemp(d->dir))
		return err_sys("create a temp directory");
	TRY(write_text(d->dir, "table.sql", demo_table_sql));
	TRY(write_text(d->dir, "felt_v1.sql", demo_v1_sql));
	TRY(write_text(d->dir, "felt_v2.sql", demo_v2_sql));
	snprintf(data, sizeof data, "%s/data", d->dir);
	snprintf(log, sizeof log, "%s/server.log", d->dir);
	char *argv[] = {(char[]){"kappa"}, (char[]){"serve"}, (char[]){"--data"}, data,
	    (char[]){"--listen"}, (char[]){"127.0.0.1:0"}, (char[]){"--http"},
	    (char[]){"127.0.0.1:0"}, NULL};
	show(argv);
	int fd = open(log, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || nothing < 0)
		return err_sys("open %s", log);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		setsid();
		dup2(nothing, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	close(fd);
	close(nothing);
	if (pid < 0)
		return err_sys("start the server");
	for (int i = 0; i < READY_TRIES; i++) {
		if (find_server(d) == ERR_OK)
			return ERR_OK;
		err_clear();
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return err_note(ERR_CLOSED, "the server ended at once; %s says why", log);
		pause_ms(READY_PAUSE_MS);
	}
	kill(pid, SIGTERM);
	return err_note(ERR_TIMEOUT, "the server did not get ready; see %s", log);
}

static void first_act(struct demo *d)
{
	char path[300];
	printf("\nA topic, and %d earthquake reports into it through the Kafka port:\n", EVENTS);
	run(d, "topic", "create", "quakes", "-p", "1", NULL);
	pid_t producer = produce(d, "200000", "0");
	if (producer > 0)
		d->failed |= !finished_well(producer);
	run(d, "consume", "quakes", "-o", "-2", "-f", "%o %k %v\\n", NULL);
	printf("\nA table over the topic, and a view: how many quakes were felt on each "
	       "day?\n\n%s\n%s",
	    demo_table_sql, demo_v1_sql);
	snprintf(path, sizeof path, "%s/table.sql", d->dir);
	run(d, "sql", "-f", path, NULL);
	snprintf(path, sizeof path, "%s/felt_v1.sql", d->dir);
	run(d, "sql", "-f", path, NULL);
	run(d, "view", "wait", "felt_per_day", "1", "--lag", "0s", NULL);
	run(d, "view", "query", "felt_per_day",
	    "SELECT day, quakes, reports FROM felt_per_day ORDER BY day LIMIT 5", NULL);
}

enum exit_code cmd_demo(struct cli *cli)
{
	struct demo d = {0};
	(void)cli;
	if (find_demo(&d) == ERR_OK)
		return cli_fail(
		    ERR_EXISTS, "`kappa demo stop` ends it", "a demo is running in %s", d.dir);
	err_clear();
	enum err e = state_path(&d);
	if (e == ERR_OK)
		e = start_server(&d);
	if (e != ERR_OK)
		return cli_fail(e, NULL, "demo");
	char line[300];
	snprintf(line, sizeof line, "%s\n", d.dir);
	e = write_text(d.state_path, "", line);
	if (e != ERR_OK)
		return cli_fail(e, NULL, "demo");
	printf("server: kafka=%s http=%s data=%s/data pid=%ld\n", d.kafka, d.http, d.dir, d.pid);
	first_act(&d);
	if (d.failed)
		return cli_fail(ERR_REFUSED, "`kappa demo stop` ends the server",
		    "the demo stopped at the last command");
	printf("\nIt looks fine, but it counts every revision of a report as a new quake.\n"
	       "next: kappa demo fix      corrects the logic and rebuilds the view beside the live "
	       "one\n"
	       "      kappa demo stop     ends the server\n");
	return EXIT_OK;
}

/* ---- second act ------------------------------------------------------------------------------ */

static void second_act(struct demo *d)
{
	char path[300];
	printf("\nThe corrected logic, as version 2:\n\n%s\nNew events keep coming while it is "
	       "rebuilt from the log:\n",
	    demo_v2_sql);
	pid_t producer = produce(d, "20000", "200000");
	snprintf(path, sizeof path, "%s/felt_v2.sql", d->dir);
	run(d, "view", "rebuild", "felt_per_day", "-f", path, NULL);
	printf("\nVersion 1 still answers:\n");
	run(d, "view", "query", "felt_per_day",
	    "SELECT count(*) AS days, sum(quakes) AS quakes FROM felt_per_day", NULL);
	if (producer > 0)
		d->failed |= !finished_well(producer);
	run(d, "view", "wait", "felt_per_day", "2", "--lag", "0s", NULL);
	run(d, "view", "wait", "felt_per_day", "1", "--lag", "0s", NULL);
	run(d, "view", "list", NULL);
	printf("\nWhat differs, at one common sequence:\n");
	run(d, "sql",
	    "SELECT * FROM diff('felt_per_day', 1, 2) WHERE change <> 'same' ORDER BY day LIMIT 5",
	    NULL);
	run(d, "view", "diff", "felt_per_day", "1", "2", "--key", "2025-01-01 00:00:00+00", NULL);
	printf("\nWhy is that row what it is? The log records behind it:\n");
	run(d, "view", "explain-row", "felt_per_day", "--version", "2", "--key",
	    "2025-01-01 00:00:00+00", "--limit", "3", NULL);
	printf("\nSwitch over, look, go back, and switch again:\n");
	run(d, "view", "promote", "felt_per_day", "2", NULL);
	run(d, "view", "query", "felt_per_day",
	    "SELECT day, quakes, reports FROM felt_per_day ORDER BY day LIMIT 5", NULL);
	run(d, "view", "rollback", "felt_per_day", NULL);
	run(d, "view", "query", "felt_per_day",
	    "SELECT count(*) AS days, sum(quakes) AS quakes FROM felt_per_day", NULL);
	run(d, "view", "promote", "felt_per_day", "2", NULL);
}

/* What makes the lines below it work as they stand, in any shell of this user. */
static void print_environment(const struct demo *d)
{
	char exe[4096];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof exe);
	while (len > 0 && exe[len - 1] != '/')
		len--;
	if (len > 1)
		printf("  export PATH=\"%.*s:$PATH\"\n", (int)len - 1, exe);
	printf("  export KAPPA_BOOTSTRAP_SERVERS=%s KAPPA_HTTP=%s\n", d->kafka, d->http);
}

enum exit_code cmd_demo_fix(struct cli *cli)
{
	struct demo d = {0};
	(void)cli;
	enum err e = find_demo(&d);
	if (e != ERR_OK)
		return cli_fail(e, "`kappa demo` starts one", "demo fix");
	second_act(&d);
	if (d.failed)
		return cli_fail(ERR_REFUSED, "`kappa demo stop` ends the server",
		    "the demo stopped at the last command");
	printf("\nThe server is up: kafka=%s http=%s. Try:\n", d.kafka, d.http);
	print_environment(&d);
	printf("  kappa consume quakes -o -3 --json\n"
	       "  kcat -b %s -C -t quakes -o -3 -e\n"
	       "  kappa view diff felt_per_day 1 2 --csv | head\n"
	       "  kappa sql \"SELECT * FROM felt_per_day ORDER BY quakes DESC LIMIT 3\"\n"
	       "  kappa demo stop\n",
	    d.kafka);
	return EXIT_OK;
}

/* ---- stop ------------------------------------------------------------------------------------ */

static void remove_tree(const char *dir)
{
	char *argv[] = {(char[]){"rm"}, (char[]){"-rf"}, (char[]){"--"}, strdup(dir), NULL};
	pid_t pid = fork();
	if (pid == 0) {
		execv("/bin/rm", argv);
		_exit(127);
	}
	if (pid < 0 || !finished_well(pid))
		fprintf(stderr, "kappa: %s could not be removed\n", dir);
	free(argv[3]);
}

enum exit_code cmd_demo_stop(struct cli *cli)
{
	struct demo d = {0};
	(void)cli;
	enum err e = find_demo(&d);
	if (e == ERR_OK) {
		kill((pid_t)d.pid, SIGTERM);
		for (int i = 0; i < READY_TRIES && kill((pid_t)d.pid, 0) == 0; i++)
			pause_ms(READY_PAUSE_MS);
	} else if (!d.dir[0]) {
		return cli_fail(e, NULL, "demo stop");
	}
	err_clear();
	/* only what mkdtemp made */
	if (strstr(d.dir, "/kappa-demo-"))
		remove_tree(d.dir);
	unlink(d.state_path);
	printf("the demo is over\n");
	return EXIT_OK;
}
