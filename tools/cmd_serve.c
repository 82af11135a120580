/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kappa serve: opens the rooms in order, tells where the doors are, and closes them again.
 *
 *   main thread   opens everything (turning the loop itself), then waits for a signal; closes
 * everything loop thread   runs the log loop between the two
 *
 * Closing: HTTP and workers first (they call into the loop, so it still runs), then the loop stops,
 * then the Kafka door and the log are closed by the main thread, which turns the loop for them.
 */
#include "tools/commands.h"
#include "tools/port_owner.h"
#include "tools/serve.h"
#include "log/base/json_write.h"
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { POOL_THREADS = 2, HEALTH_CHECK_MS = 200, DESCRIPTORS_NEEDED = 1024 };

/* ---- telling where we are -------------------------------------------------------------------- */

/* sd_notify(3) without its library: one datagram to $NOTIFY_SOCKET. */
static void notify_systemd(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof a.sun_path)
		return;
	memcpy(a.sun_path, path, strlen(path) + 1);
	if (*path == '@')
		a.sun_path[0] = 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	ssize_t n = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&a, len);
	if (n < 0)
		diag(DIAG_WARN, "notify_failed", "socket=%s", path);
	close(fd);
}

static enum err write_endpoints(struct serve *s)
{
	char path[4200];
	struct writer w;
	struct json_writer j;
	writer_init(&w, 64 * KIB);
	json_write_init(&j, &w);
	json_object_begin(&j);
	json_key_str(&j, "kafka", str_of(s->kafka_address));
	json_key_str(&j, "http", str_of(http_address(s->http)));
	json_key_str(&j, "ipc", str_of(broker_native_requests(s->broker)));
	json_key_str(&j, "feed", str_of(broker_native_feeds(s->broker)));
	json_key_i64(&j, "pid", getpid());
	json_key(&j, STR("listeners"));
	json_array_begin(&j);
	for (size_t i = 0; i < s->listeners.count; i++) {
		char address[300];
		listeners_address(&s->listeners, i, address, sizeof address);
		json_object_begin(&j);
		json_key_str(
		    &j, "protocol", str_of(broker_protocol_name(s->listeners.at[i].protocol)));
		json_key_str(&j, "address", str_of(address));
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	write_u8(&w, '\n');
	snprintf(path, sizeof path, "%s/endpoints.json", s->data_dir);
	enum err e = w.err ? w.err : io_write_file(s->io, path, writer_bytes(&w));
	writer_release(&w);
	return e;
}

/* Leaves the token where this user's `kappa` finds it. A missing home is no reason not to serve. */
static void write_state_token(struct serve *s)
{
	char dir[4096], path[4500];
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	if (state && *state)
		snprintf(dir, sizeof dir, "%s/kappa", state);
	else if (home && *home)
		snprintf(dir, sizeof dir, "%s/.local/state/kappa", home);
	else
		return;
	snprintf(path, sizeof path, "%s/%s.token", dir, http_address(s->http));
	enum err e = io_mkdir_all(s->io, dir);
	if (e == ERR_OK)
		e = io_write_file(s->io, path, str_bytes(http_token(s->http)));
	if (e != ERR_OK)
		diag(DIAG_WARN, "token_not_left", "path=\"%s\" reason=\"%s\"", path, err_chain());
	err_clear();
}

static void announce(struct serve *s)
{
	fprintf(stderr, "Successfully started kappa kafka=%s http=%s\n", s->kafka_address,
	    http_address(s->http));
	fflush(stderr);
	notify_systemd("READY=1");
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Segments, sockets and view files: as many descriptors as the system allows. */
static enum err raise_descriptors(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return err_sys("getrlimit");
	if (limit.rlim_max < DESCRIPTORS_NEEDED)
		return err_note(ERR_LIMIT,
		    "at most %llu open files are allowed, and %d are needed: raise the limit "
		    "(ulimit -Hn, LimitNOFILE=)",
		    (unsigned long long)limit.rlim_max, DESCRIPTORS_NEEDED);
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? ERR_OK : err_sys("setrlimit");
}

static enum err open_log(struct serve *s, const struct cli *cli)
{
	const struct config *c = &s->config;
	char journal_dir[4096];
	struct log_options options = {.data_dir = s->data_dir,
	    .journal_dir = config_journal_dir(c, journal_dir, sizeof journal_dir),
	    .journal_bytes = (uint64_t)config_number(c, CONFIG_JOURNAL_BYTES),
	    .accept_lost_suffix = cli_get(cli, "accept-lost-suffix", NULL)};
	if (config_number(c, CONFIG_SCRUB_RATE) > 0)
		options.scrub_bytes_per_second = (uint64_t)config_number(c, CONFIG_SCRUB_RATE);
	if (options.accept_lost_suffix && !options.accept_lost_suffix[0])
		return err_note(ERR_INVALID, "--accept-lost-suffix takes a reason");
	const char *io = config_get(c, CONFIG_IO);
	if (strcmp(io, "auto") != 0 && strcmp(io, "uring") != 0 && strcmp(io, "threads") != 0)
		return err_note(ERR_INVALID, "--io %s: auto, uring or threads", io);
	TRY(io_new(io, &s->io));
	TRY(raise_descriptors());
	TRY(loop_new(s->io, POOL_THREADS, &s->loop));
	TRY(io_mkdir_all(s->io, s->data_dir));
	TRY(log_open(s->loop, &options, &s->log));
	return config_topic_defaults(c, s->log);
}

static enum err open_views(struct serve *s)
{
	const struct config *c = &s->config;
	struct proc_options options = {.log = s->log,
	    .io = s->io,
	    .data_dir = s->data_dir,
	    .workers = (unsigned)config_number(c, CONFIG_WORKERS),
	    .checkpoint_ns = config_number(c, CONFIG_CHECKPOINT_MS) * MS_NS};
	TRY(proc_open(&options, &s->proc));
	return replay_open(s->proc, s->log, &s->replay);
}

static bool restricts(void *broker)
{
	return broker_restricts(broker);
}

static enum err open_http(struct serve *s)
{
	char host[256], token[4200];
	struct http_options options = {.io = s->io,
	    .host = host,
	    .token_path = token,
	    .guard_reads = restricts,
	    .guard_ctx = s->broker};
	TRY(config_address(config_get(&s->config, CONFIG_HTTP), host, sizeof host, &options.port));
	snprintf(token, sizeof token, "%s/http.token", s->data_dir);
	enum err e = http_open(&options, &s->http);
	if (e != ERR_OK)
		return err_note(e, "HTTP door %s", config_get(&s->config, CONFIG_HTTP));
	TRY(serve_view_routes(s));
	return broker_http_attach(s->broker, s->http);
}

/* allow.everyone.if.no.acl.found: 1, -1, or 0 = not said. */
static enum err open_acl(const struct config *c, int *ret_allow)
{
	const char *text = config_get(c, CONFIG_OPEN_ACL);
	if (*text && strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return err_note(
		    ERR_INVALID_CONFIG, "allow.everyone.if.no.acl.found=%s: true or false", text);
	*ret_allow = !*text ? 0 : strcmp(text, "true") == 0 ? 1 : -1;
	return ERR_OK;
}

/* An address of the native door in `buf`; NULL: not served. */
static const char *native_address(
    const struct serve *s, enum config_key key, const char *file, char *buf, size_t len)
{
	const char *text = config_get(&s->config, key);
	struct sockaddr_un a;
	char dir[PATH_MAX];
	if (strcmp(text, "off") == 0)
		return NULL;
	if (strcmp(text, "ipc") != 0)
		return text;
	if (!realpath(s->data_dir, dir) || strlen(dir) + strlen(file) + 2 > sizeof a.sun_path) {
		diag(DIAG_WARN, "native_door_off",
		    "reason=\"the data directory's path is too long for a socket in it\" "
		    "next=\"give "
		    "%s=ipc:///SHORTER\"",
		    key == CONFIG_NATIVE ? "kappa.native" : "kappa.native.feed");
		return NULL;
	}
	snprintf(buf, len, "ipc://%s/%s", dir, file);
	return buf;
}

/* Who has to say who he is elsewhere has to do so here. */
static bool native_sasl(const struct listeners *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->at[i].protocol == BROKER_PLAINTEXT)
			return false;
	return true;
}

/* Milliseconds that fit an int32 and are not 0. */
static enum err option_ms(const struct config *c, enum config_key key, int32_t *ret_ms)
{
	int64_t n = config_number(c, key);
	if (n < 1 || n > INT32_MAX)
		return err_note(ERR_INVALID_CONFIG, "%s=%s: milliseconds from 1 to %d",
		    config_name(key), config_get(c, key), INT32_MAX);
	*ret_ms = (int32_t)n;
	return ERR_OK;
}

static enum err group_options(const struct config *c, struct broker_options *o)
{
	const struct {
		enum config_key key;
		int32_t *ms;
	} all[] = {{CONFIG_GROUP_SESSION_MIN, &o->group_session_min_ms},
	    {CONFIG_GROUP_SESSION_MAX, &o->group_session_max_ms},
	    {CONFIG_CONSUMER_SESSION, &o->consumer_session_ms},
	    {CONFIG_CONSUMER_SESSION_MIN, &o->consumer_session_min_ms},
	    {CONFIG_CONSUMER_SESSION_MAX, &o->consumer_session_max_ms},
	    {CONFIG_CONSUMER_HEARTBEAT, &o->consumer_heartbeat_ms},
	    {CONFIG_CONSUMER_HEARTBEAT_MIN, &o->consumer_heartbeat_min_ms},
	    {CONFIG_CONSUMER_HEARTBEAT_MAX, &o->consumer_heartbeat_max_ms},
	    {CONFIG_TRANSACTION_TIMEOUT, &o->transaction_timeout_max_ms}};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		TRY(option_ms(c, all[i].key, all[i].ms));
	if (o->group_session_min_ms > o->group_session_max_ms ||
	    o->consumer_session_min_ms > o->consumer_session_max_ms ||
	    o->consumer_heartbeat_min_ms > o->consumer_heartbeat_max_ms)
		return err_note(ERR_INVALID_CONFIG, "group.: a least that is above its most");
	if (o->consumer_heartbeat_ms >= o->consumer_session_ms)
		return err_note(ERR_INVALID_CONFIG,
		    "group.consumer.heartbeat.interval.ms has to be shorter than "
		    "group.consumer.session.timeout.ms");
	return group_migration_parse(config_get(c, CONFIG_CONSUMER_MIGRATION), &o->group_migration);
}

static enum err open_kafka(struct serve *s)
{
	const struct config *c = &s->config;
	char requests[PATH_MAX + 64], feeds[PATH_MAX + 64];
	int32_t delay_ms = (int32_t)config_number(c, CONFIG_REBALANCE_DELAY);
	int32_t node_id = (int32_t)config_number(c, CONFIG_NODE_ID);
	struct broker_options options = {.listeners = s->listeners.at,
	    .listener_count = s->listeners.count,
	    .node_id = node_id ? node_id : -1,
	    .test_brokers = config_bool(c, CONFIG_TEST_BROKERS),
	    .native = {native_address(s, CONFIG_NATIVE, "kappa.ipc", requests, sizeof requests),
	        native_address(s, CONFIG_NATIVE_FEED, "kappa-feed.ipc", feeds, sizeof feeds),
	        native_sasl(&s->listeners)},
	    .data_dir = s->data_dir,
	    .no_auto_create = !config_bool(c, CONFIG_AUTO_CREATE),
	    .default_partitions = (int32_t)config_number(c, CONFIG_NUM_PARTITIONS),
	    .group_initial_delay_ms = delay_ms ? delay_ms : -1,
	    .offsets_retention_ms = config_number(c, CONFIG_OFFSETS_RETENTION) * 60000};
	options.offsets_check_interval_ms = config_number(c, CONFIG_OFFSETS_CHECK);
	options.transaction_expiry_ms = config_number(c, CONFIG_TRANSACTION_EXPIRY);
	options.idle_ns = config_number(c, CONFIG_IDLE_MS) * MS_NS;
	int64_t answers = config_number(c, CONFIG_ANSWER_BYTES);
	if (answers < (int64_t)MIB)
		return err_note(ERR_INVALID_CONFIG, "%s=%s: 1 MiB or more",
		    config_name(CONFIG_ANSWER_BYTES), config_get(c, CONFIG_ANSWER_BYTES));
	options.answer_budget_bytes = (size_t)answers;
	TRY(group_options(c, &options));
	options.super_users = config_get(c, CONFIG_SUPER_USERS);
	TRY(open_acl(c, &options.allow_if_no_acl));
	TRY(security_options(c, &s->listeners, &options));
	enum err e = broker_open(s->loop, s->log, &options, &s->broker);
	if (e != ERR_OK)
		return err_note(e, "Kafka door %s", config_get(c, CONFIG_LISTENERS));
	for (size_t i = 0; i < s->listeners.count; i++)
		s->listeners.at[i].port = broker_port(s->broker, i);
	listeners_address(&s->listeners, 0, s->kafka_address, sizeof s->kafka_address);
	return ERR_OK;
}

/* Without authentication only loopback is served (reliability: protected mode). */
static enum err check_exposure(struct serve *s)
{
	char host[256];
	uint16_t port;
	TRY(listeners_parse(&s->config, &s->listeners));
	TRY(config_address(config_get(&s->config, CONFIG_HTTP), host, sizeof host, &port));
	if (!host_is_loopback(host))
		return err_note(ERR_REFUSED,
		    "%s is not a loopback address: the HTTP door is for this machine only", host);
	return listeners_check_exposure(&s->config, &s->listeners);
}

static enum err open_all(struct serve *s, const struct cli *cli)
{
	TRY(check_exposure(s));
	TRY(open_log(s, cli));
	TRY(open_views(s));
	TRY(open_kafka(s));
	TRY(open_http(s));
	TRY(write_endpoints(s));
	write_state_token(s);
	return ERR_OK;
}

/* ---- running --------------------------------------------------------------------------------- */

static void run_loop(void *arg)
{
	struct serve *s = arg;
	enum err e = loop_run(s->loop);
	if (e != ERR_OK)
		diag(DIAG_ERROR, "loop_failed", "reason=\"%s\"", err_chain());
}

static void read_status(void *arg)
{
	struct {
		struct log *log;
		struct log_status status;
	} *q = arg;
	log_status(q->log, &q->status);
}

/* SIGHUP: key and certificates again. Until SIGTERM or SIGINT, or until the log can acknowledge
 * nothing any more. */
static enum err wait_for_end(struct serve *s, const sigset_t *signals)
{
	struct {
		struct log *log;
		struct log_status status;
	} q = {.log = s->log};
	const struct timespec tick = {.tv_nsec = HEALTH_CHECK_MS * MS_NS};
	for (;;) {
		int sig = sigtimedwait(signals, NULL, &tick);
		if (sig == SIGTERM || sig == SIGINT)
			return ERR_OK;
		if (sig == SIGHUP)
			broker_reload(s->broker);
		loop_call(s->loop, read_status, &q);
		if (q.status.failed)
			return err_note(ERR_IO, "a flush failed: nothing is acknowledged any more; "
			                        "restart recovers from the journal");
	}
}

static void close_all(struct serve *s)
{
	notify_systemd("STOPPING=1");
	serve_feed_close(s);
	http_close(s->http);
	if (s->broker)
		broker_http_detach(s->broker);
	replay_close(s->replay);
	proc_close(s->proc);
	if (s->loop_thread.started) {
		loop_stop(s->loop);
		thread_join(&s->loop_thread);
	}
	if (s->loop)
		loop_own(s->loop);
	broker_close(s->broker);
	log_close(s->log);
	loop_free(s->loop);
	io_free(s->io);
	config_release(&s->config);
}

static enum err serve_run(struct serve *s, const struct cli *cli)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	TRY(open_all(s, cli));
	loop_disown(s->loop);
	TRY(thread_start(&s->loop_thread, "kappa-loop", run_loop, s));
	TRY(serve_feed_open(s));
	http_set_ready(s->http, true);
	announce(s);
	return wait_for_end(s, &signals);
}

/* Who has the port of the door that could not be opened. */
static bool taken_by(const struct serve *s, long *ret_pid)
{
	char address[300];
	for (size_t i = 0; i < s->listeners.count; i++) {
		listeners_address(&s->listeners, i, address, sizeof address);
		if (strstr(err_chain(), address))
			return port_owner(address, ret_pid);
	}
	return port_owner(config_get(&s->config, CONFIG_HTTP), ret_pid);
}

/* What to do about a start that failed, in `text`; NULL = nothing is known. */
static const char *advice(const struct serve *s, enum err e, char *text, size_t len)
{
	long pid;
	if (e == ERR_LOCKED)
		return "stop that one first";
	if (e != ERR_ADDRESS_IN_USE || !taken_by(s, &pid))
		return NULL;
	snprintf(text, len, "process %ld has it: stop that one, or choose another port", pid);
	return text;
}

enum exit_code cmd_serve(struct cli *cli)
{
	struct serve s = {0};
	char text[128];
	umask(077);
	if (strcmp(cli_get(cli, "log-format", "logfmt"), "json") == 0)
		diag_set_json(true);
	enum err e = config_load(&s.config, cli);
	if (e != ERR_OK)
		return cli_fail(e, NULL, "configuration");
	const char *data = config_get(&s.config, CONFIG_LOG_DIRS);
	if (!*data) {
		config_release(&s.config);
		return cli_usage(cli, "--data DIR is needed");
	}
	snprintf(s.data_dir, sizeof s.data_dir, "%s", data);
	e = serve_run(&s, cli);
	enum exit_code exit = EXIT_OK;
	if (e != ERR_OK)
		exit = cli_fail(e, advice(&s, e, text, sizeof text), "serve %s", s.data_dir);
	close_all(&s);
	return exit;
}
