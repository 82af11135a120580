/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kafka door itself: opening and closing, accepting, and the sweep that ends connections which
 * do nothing or stop half-way.
 */
#include "broker/auth/auth.h"
#include "broker/groups/groups.h"
#include "broker/kafka/handlers.h"
#include "broker/quotas/quotas.h"
#include "broker/settings/settings.h"
#include "broker/transactions/transactions.h"

static const int64_t ACCEPT_PAUSE_NS =
    100 * MS_NS;                                 /* after a failure, such as too many open files */
static const int64_t PLACE_PAUSE_NS = 5 * MS_NS; /* while all strangers are being decided */
static const int64_t SWEEP_NS = 2 * S_NS;
static const int64_t STOP_NS = 5 * S_NS; /* for requests that the log has, at the stop */
/* A request may take this long per byte received on top of stall_ns: 8 KiB/s at least. */
static const int64_t FRAME_BYTE_NS = S_NS / 8192;

/* ---- accepting ------------------------------------------------------------------------------- */

static void accept_next(struct listener *l);

static void turn_away(struct listener *l, int fd)
{
	enum err err = io_close(l->broker->io, fd); /* nothing can be done about a failure */
	(void)err;
}

/* Takes the client in, or turns it away, or keeps it until there is a place. */
static void take_in(struct listener *l, int fd)
{
	struct broker *b = l->broker;
	bool stranger = !l->feed && l->options.protocol != BROKER_PLAINTEXT;
	enum admission_verdict verdict =
	    b->closing ? ADMISSION_NO : admission_has_room(b, stranger);
	if (verdict == ADMISSION_WAIT) {
		l->held = fd;
		loop_timer_set(b->loop, &l->accept_again, loop_now_ns(b->loop) + PLACE_PAUSE_NS);
		return;
	}
	if (verdict == ADMISSION_NO && !b->closing)
		diag(DIAG_WARN, "kafka_connection_refused", "reason=connections_max limit=%u",
		    b->options.connections_max);
	err_clear();
	bool refused =
	    verdict == ADMISSION_NO || (l->feed ? feed_open(l, fd) : conn_open(l, fd)) != ERR_OK;
	if (refused && *err_chain())
		diag(DIAG_WARN, "kafka_connection_refused", "reason=\"%s\"", err_chain());
	if (refused)
		turn_away(l, fd);
	accept_next(l);
}

static void on_accepted(struct io_req *io)
{
	struct listener *l = CONTAINER_OF(io, struct listener, accept);
	struct broker *b = l->broker;
	l->accepting = false;
	if (io->err != ERR_OK) {
		if (b->closing)
			return;
		diag(DIAG_WARN, "kafka_accept_failed", "err=%s errno=%d", err_name(io->err),
		    io->sys_errno);
		err_clear();
		loop_timer_set(b->loop, &l->accept_again, loop_now_ns(b->loop) + ACCEPT_PAUSE_NS);
		return;
	}
	take_in(l, (int)io->result);
}

static void accept_next(struct listener *l)
{
	struct broker *b = l->broker;
	if (b->closing || l->accepting)
		return;
	l->accepting = true;
	l->accept = (struct io_req){.op = IO_ACCEPT, .fd = l->fd, .done = on_accepted};
	io_submit(b->io, &l->accept);
}

static void on_accept_again(struct loop_timer *timer)
{
	struct listener *l = CONTAINER_OF(timer, struct listener, accept_again);
	int held = l->held;
	l->held = -1;
	if (held >= 0)
		take_in(l, held);
	else
		accept_next(l);
}

/* ---- listeners ------------------------------------------------------------------------------- */

static enum err copy_string(const char *from, const char **ret_copy)
{
	*ret_copy = NULL;
	if (!from)
		return ERR_OK;
	*ret_copy = mem_strdup(str_of(from));
	return *ret_copy ? ERR_OK : ERR_NOMEM;
}

static void free_string(const char *s)
{
	mem_free((void *)(uintptr_t)s);
}

const char *broker_protocol_name(enum broker_protocol p)
{
	static const char *const names[] = {
	    [BROKER_PLAINTEXT] = "PLAINTEXT",
	    [BROKER_SSL] = "SSL",
	    [BROKER_SASL_PLAINTEXT] = "SASL_PLAINTEXT",
	    [BROKER_SASL_SSL] = "SASL_SSL",
	};
	return names[p];
}

enum err listener_add(struct broker *b, const struct broker_listener *from, enum sp_framing framing,
    struct listener **ret_listener)
{
	ASSERT(b->listener_count < sizeof(b->listeners) / sizeof(b->listeners[0]));
	struct listener *l = &b->listeners[b->listener_count++];
	*l = (struct listener){.broker = b,
	    .options = *from,
	    .framing = framing,
	    .node_id = b->options.node_id,
	    .held = -1,
	    .fd = -1};
	for (size_t i = 0; b->options.test_brokers && i + 1 < b->listener_count; i++)
		l->node_id += b->listeners[i].options.protocol == from->protocol;
	l->options.host = l->options.advertised_host = NULL;
	l->options.tls = NULL;
	loop_timer_init(&l->accept_again, on_accept_again);
	TRY(copy_string(from->host ? from->host : "127.0.0.1", &l->options.host));
	TRY(copy_string(from->advertised_host, &l->options.advertised_host));
	TRY(io_listen(b->io, l->options.host, from->port, &l->fd, &l->port));
	*ret_listener = l;
	return ERR_OK;
}

static void listener_stop(struct listener *l)
{
	loop_timer_cancel(l->broker->loop, &l->accept_again);
	if (l->held >= 0)
		turn_away(l, l->held);
	l->held = -1;
	if (l->accepting)
		io_cancel(l->broker->io, &l->accept);
}

static void listener_release(struct listener *l)
{
	ASSERT(!l->accepting);
	if (l->fd >= 0) {
		enum err err = io_close(l->broker->io, l->fd); /* nothing can be done about it */
		if (l->options.host[0] == '/')
			err = io_unlink(l->broker->io, l->options.host);
		(void)err;
	}
	free_string(l->options.host);
	free_string(l->options.advertised_host);
}

static enum err open_listeners(struct broker *b, const struct broker_options *o)
{
	static const struct broker_listener one = {.protocol = BROKER_PLAINTEXT};
	const struct broker_listener *at = o->listener_count ? o->listeners : &one;
	size_t count = o->listener_count ? o->listener_count : 1;
	if (count > BROKER_LISTENERS_MAX)
		return err_note(
		    ERR_INVALID, "%zu listeners, at most %d", count, BROKER_LISTENERS_MAX);
	struct listener *l;
	for (size_t i = 0; i < count; i++)
		TRY(listener_add(b, &at[i], SP_NONE, &l));
	return native_open(b, &o->native);
}

/* ---- sweep ----------------------------------------------------------------------------------- */

/* Why a connection has to go; NULL when it may stay. */
static const char *overdue(const struct broker *b, const struct conn *c, int64_t now)
{
	int64_t stall = b->options.stall_ns;
	if (conn_is_decided(c))
		return NULL; /* its turn in the crypto queue comes */
	if (!c->admitted && now - c->opened_ns > b->options.authentication_ns)
		return "has not said who it is";
	if (c->sending && now - c->send_ns > stall)
		return "does not read its answers";
	if (c->resting)
		return NULL;
	if (c->crowded_ns != 0)
		return now - c->crowded_ns > stall ? "no memory for its answer" : NULL;
	if (c->hungry_ns != 0)
		return now - c->hungry_ns > stall ? "no memory for its request" : NULL;
	if (c->frame.ptr && now - c->frame_ns > stall + (int64_t)c->frame.have * FRAME_BYTE_NS)
		return "stopped in the middle of a request";
	if (c->in_flight == 0 && now - c->active_ns > b->options.idle_ns)
		return "idle";
	return NULL;
}

static void on_sweep(struct loop_timer *timer)
{
	struct broker *b = CONTAINER_OF(timer, struct broker, sweep);
	int64_t now = loop_now_ns(b->loop);
	LIST_EACH (&b->conns, n, tmp) {
		struct conn *c = CONTAINER_OF(n, struct conn, node);
		const char *reason = overdue(b, c, now);
		if (reason)
			conn_close(c, c->in_flight || c->frame.ptr ? ERR_TIMEOUT : ERR_OK, reason);
	}
	feed_sweep(b, now);
	loop_timer_set(b->loop, &b->sweep, now + SWEEP_NS);
}

void broker_frame_give(struct broker *b, uint8_t *ptr, size_t capacity)
{
	if (!ptr)
		return;
	frame_give(&b->frames, ptr, capacity);
	hunger_feed(b);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

static enum err take_options(struct broker *b, const struct broker_options *from)
{
	struct broker_options *o = &b->options;
	*o = *from;
	o->cluster_id = o->data_dir = o->super_users = NULL;
	o->listeners = NULL;
	o->native = (struct broker_native){NULL, NULL, false};
	o->listener_count = 0;
	TRY(copy_string(from->cluster_id, &o->cluster_id));
	TRY(copy_string(from->data_dir, &o->data_dir));
	if (o->node_id == 0)
		o->node_id = 1;
	else if (o->node_id == -1)
		o->node_id = 0;
	if (o->default_partitions == 0)
		o->default_partitions = 1;
	if (o->connections_max == 0)
		o->connections_max = 10000;
	if (o->connections_per_ip_max == 0)
		o->connections_per_ip_max = INT32_MAX;
	if (o->strangers_max == 0)
		o->strangers_max = o->connections_max / 2 + 1;
	if (o->request_bytes_max == 0)
		o->request_bytes_max = REQUEST_BYTES_MAX;
	if (o->request_budget_bytes == 0)
		o->request_budget_bytes = 256 * MIB;
	if (o->request_budget_bytes < 2 * o->request_bytes_max)
		o->request_budget_bytes = 2 * o->request_bytes_max;
	if (o->fetch_bytes_max == 0)
		o->fetch_bytes_max = 16 * MIB;
	if (o->answer_budget_bytes == 0)
		o->answer_budget_bytes = 128 * MIB;
	/* a read that could never get its memory would wait for ever */
	if (o->fetch_bytes_max > o->answer_budget_bytes)
		o->fetch_bytes_max = o->answer_budget_bytes;
	if (o->fetch_sessions_max == 0)
		o->fetch_sessions_max = 1000;
	if (o->append_bytes_max == 0)
		o->append_bytes_max = 48 * MIB;
	if (o->sasl.mechanisms == 0)
		o->sasl.mechanisms =
		    BROKER_SASL_PLAIN | BROKER_SASL_SCRAM_256 | BROKER_SASL_SCRAM_512;
	if (o->sasl.refusal_delay_ns == 0)
		o->sasl.refusal_delay_ns = 100 * MS_NS;
	if (o->consumer_session_min_ms == 0)
		o->consumer_session_min_ms = 45000;
	if (o->consumer_session_max_ms == 0)
		o->consumer_session_max_ms = 60000;
	if (o->consumer_heartbeat_min_ms == 0)
		o->consumer_heartbeat_min_ms = 5000;
	if (o->consumer_heartbeat_max_ms == 0)
		o->consumer_heartbeat_max_ms = 15000;
	if (o->transaction_timeout_max_ms == 0)
		o->transaction_timeout_max_ms = 900000;
	if (o->authentication_ns == 0)
		o->authentication_ns = 30 * S_NS;
	if (o->idle_ns == 0)
		o->idle_ns = 600 * S_NS;
	if (o->stall_ns == 0)
		o->stall_ns = 30 * S_NS;
	return ERR_OK;
}

static void broker_free(struct broker *b)
{
	transactions_close(b->transactions);
	groups_close(b->groups);
	auth_close(b->auth);
	quotas_close(b->quotas);
	settings_close(b->settings);
	admission_release(&b->admission);
	security_release(b);
	crypto_queue_release(&b->crypto);
	for (size_t i = 0; i < b->listener_count; i++)
		listener_release(&b->listeners[i]);
	mem_free(b->native_requests);
	mem_free(b->native_feeds);
	free_string(b->options.cluster_id);
	free_string(b->options.data_dir);
	frame_pool_release(&b->frames);
	fetch_sessions_release(&b->fetch_sessions);
	mem_free(b);
}

static enum err open_groups(struct broker *b)
{
	struct groups_options o = {
	    .initial_delay_ms = b->options.group_initial_delay_ms,
	    .session_min_ms = b->options.group_session_min_ms,
	    .session_max_ms = b->options.group_session_max_ms,
	    .consumer_session_ms = b->options.consumer_session_ms,
	    .consumer_heartbeat_ms = b->options.consumer_heartbeat_ms,
	    .groups_max = b->options.groups_max,
	    .migration = b->options.group_migration,
	    .offsets_retention_ms = b->options.offsets_retention_ms,
	    .check_interval_ms = b->options.offsets_check_interval_ms,
	    .settings = b->settings,
	    .auth = b->auth,
	};
	return groups_open(b->loop, b->log, &o, &b->groups);
}

static enum err open_settings(struct broker *b)
{
	const struct broker_options *o = &b->options;
	return settings_open(b->log,
	    (struct setting_bounds){o->consumer_session_min_ms, o->consumer_session_max_ms},
	    (struct setting_bounds){o->consumer_heartbeat_min_ms, o->consumer_heartbeat_max_ms},
	    &b->settings);
}

/* Once there is what they have their effect on. */
static enum err start_settings(struct broker *b)
{
	const struct broker_options *o = &b->options;
	TRY(settings_fix(b->settings, SETTING_CLEANER_BACKOFF, 15000)); /* log.h */
	TRY(settings_fix(b->settings, SETTING_CONNECTIONS, o->connections_max));
	TRY(settings_fix(b->settings, SETTING_CONNECTIONS_PER_IP, o->connections_per_ip_max));
	return settings_start(b->settings, settings_obey, b);
}

static enum err open_transactions(struct broker *b)
{
	struct transactions_options o = {
	    .timeout_max_ms = b->options.transaction_timeout_max_ms,
	    .expiry_ms = b->options.transaction_expiry_ms,
	    .ids_max = b->options.transactional_ids_max,
	};
	return transactions_open(b->loop, b->log, b->groups, &o, &b->transactions);
}

static enum err open_auth(struct broker *b, const struct broker_options *options)
{
	struct auth_options o = {.authenticated = options->native.sasl,
	    .allow_if_no_acl = options->allow_if_no_acl,
	    .super_users = options->super_users,
	    .io = b->io};
	for (size_t i = 0; i < options->listener_count && i < BROKER_LISTENERS_MAX; i++) {
		enum broker_protocol p = options->listeners[i].protocol;
		o.authenticated |= broker_protocol_sasl(p);
		o.authenticated |=
		    p == BROKER_SSL && b->tls_options[i].client_auth == BROKER_CLIENT_AUTH_REQUIRED;
	}
	return auth_open(b->log, &o, &b->auth);
}

static enum err start(struct broker *b, const struct broker_options *options)
{
	TRY(take_options(b, options));
	frame_pool_init(&b->frames, b->options.request_budget_bytes);
	b->answers.budget = (struct budget){b->options.answer_budget_bytes, 0};
	b->fetch_sessions.max = b->options.fetch_sessions_max;
	TRY(cluster_id_open(b));
	TRY(security_open(b, options));
	TRY(open_auth(b, options));
	TRY(quotas_open(b->log, &b->quotas));
	TRY(open_settings(b));
	TRY(open_groups(b));
	TRY(open_transactions(b));
	TRY(start_settings(b));
	TRY(open_listeners(b, options));
	for (size_t i = 0; i < b->listener_count; i++)
		accept_next(&b->listeners[i]);
	loop_timer_set(b->loop, &b->sweep, loop_now_ns(b->loop) + SWEEP_NS);
	return ERR_OK;
}

enum err broker_open(struct loop *loop, struct log *log, const struct broker_options *options,
    struct broker **ret_broker)
{
	struct broker *b = mem_calloc(1, sizeof(*b));
	if (!b)
		return ERR_NOMEM;
	b->loop = loop;
	b->io = loop_io(loop);
	b->log = log;
	list_init(&b->conns);
	hunger_init(&b->hunger);
	answers_init(&b->answers);
	fetch_sessions_init(&b->fetch_sessions);
	list_init(&b->append_waiting);
	list_init(&b->feed.subscribers);
	crypto_queue_init(&b->crypto, loop);
	admission_init(&b->admission);
	loop_timer_init(&b->sweep, on_sweep);
	enum err err = start(b, options);
	if (err != ERR_OK) {
		broker_free(b);
		return err;
	}
	*ret_broker = b;
	return ERR_OK;
}

static bool accepts(const struct broker *b)
{
	for (size_t i = 0; i < b->listener_count; i++) {
		if (b->listeners[i].accepting)
			return true;
	}
	return false;
}

void broker_close(struct broker *b)
{
	if (!b)
		return;
	b->closing = true;
	loop_timer_cancel(b->loop, &b->sweep);
	hunger_stop(b);
	answers_stop(b);
	security_stop(b);
	for (size_t i = 0; i < b->listener_count; i++)
		listener_stop(&b->listeners[i]);
	LIST_EACH (&b->conns, n, tmp)
		conn_close(CONTAINER_OF(n, struct conn, node), ERR_OK, "the server stops");
	feed_close_all(b);
	int64_t give_up_ns = loop_now_ns(b->loop) + STOP_NS;
	while (accepts(b) || security_busy(b) || b->conn_count > 0 || b->answers.wake_queued ||
	       feed_is_busy(b)) {
		ASSERT(loop_step(b->loop, 100 * MS_NS) == ERR_OK);
		if (loop_now_ns(b->loop) > give_up_ns)
			log_give_up(b->log); /* a request may wait for room on a full disk */
	}
	broker_free(b);
}

uint16_t broker_port(const struct broker *b, size_t index)
{
	ASSERT(index < b->listener_count);
	return b->listeners[index].port;
}

bool broker_restricts(const struct broker *b)
{
	return b->auth->authenticated || shared_load(&b->auth->restricted) != 0;
}
