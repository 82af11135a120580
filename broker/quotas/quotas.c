/* SPDX-License-Identifier: Apache-2.0 */
/* The table of quotas, which one holds for a client, and the buckets. See quotas.h. */
#include "broker/quotas/quotas.h"
#include "broker/kafka/server.h"

enum { ROW_VERSION = 0 };

struct quota_bucket {
	double tokens;  /* what may still come now; below 0: owed */
	double rate;    /* per second */
	double most;    /* that it holds */
	double came[2]; /* in the window of at_ns, in the one before */
	int64_t at_ns;
	size_t key_len;
	uint8_t key[]; /* kind, then as quota.key */
};

const struct quota_spec quota_specs[QUOTA_KINDS] = {
    [QUOTA_PRODUCE] = {"producer_byte_rate", "bytes per second", 1, 1, 10, QUOTA_WAIT_MAX_NS, true},
    [QUOTA_FETCH] = {"consumer_byte_rate", "bytes per second", 1, 1, 10, QUOTA_WAIT_MAX_NS, false},
    [QUOTA_REQUEST] = {"request_percentage", "percent", 0.01, (double)S_NS / 100, 10, S_NS, true},
    [QUOTA_MUTATION] = {"controller_mutation_rate", "partitions per second", 0.01, 1, 11,
        QUOTA_WAIT_MAX_NS, false},
    [QUOTA_CONNECT] = {"connection_creation_rate", "connections per second", 1, 1, 1,
        QUOTA_WAIT_MAX_NS, false},
};

/* ---- keys ------------------------------------------------------------------------------------ */

static size_t put_half(uint8_t *at, enum quota_who who, struct str name)
{
	size_t len = !quota_who_is_named(who)    ? 0
	             : name.len < QUOTA_NAME_MAX ? name.len
	                                         : QUOTA_NAME_MAX;
	at[0] = (uint8_t)who;
	at[1] = (uint8_t)len;
	if (len > 0)
		memcpy(at + 2, name.ptr, len);
	return 2 + len;
}

static size_t put_entity(uint8_t *at, const struct quota_entity *who)
{
	size_t len = put_half(at, who->user_is, who->user);
	return len + put_half(at + len, who->client_is, who->client);
}

void quota_row_key(struct writer *w, enum quota_kind kind, const struct quota_entity *who)
{
	uint8_t key[2 * (2 + QUOTA_NAME_MAX)];
	write_u8(w, ROW_VERSION);
	write_u8(w, (uint8_t)kind);
	write_bytes(w, bytes_of(key, put_entity(key, who)));
}

void quota_row_value(struct writer *w, double rate)
{
	uint64_t bits;
	memcpy(&bits, &rate, sizeof(bits));
	write_u8(w, ROW_VERSION);
	write_u64_be(w, bits);
}

static bool read_half(struct reader *r, enum quota_who *ret_who, struct str *ret_name)
{
	uint8_t who = read_u8(r), len = read_u8(r);
	*ret_name = bytes_str(read_bytes(r, len));
	*ret_who = (enum quota_who)who;
	return !r->bad && who <= QUOTA_ADDRESS_DEFAULT && quota_who_is_named(*ret_who) == (len > 0);
}

static enum err row_read(struct bytes key, struct bytes value, enum quota_kind *ret_kind,
    struct quota_entity *ret_who, double *ret_rate)
{
	struct reader k = reader_of(key), v = reader_of(value);
	uint8_t version = read_u8(&k), kind = read_u8(&k);
	if (!k.bad && version != ROW_VERSION)
		return err_note(ERR_NEWER_FORMAT, "quota of version %u", version);
	bool good = read_half(&k, &ret_who->user_is, &ret_who->user) &&
	            read_half(&k, &ret_who->client_is, &ret_who->client) && reader_left(&k) == 0 &&
	            kind < QUOTA_KINDS && !quota_who_is_address(ret_who->client_is) &&
	            quota_who_is_address(ret_who->user_is) == (kind == QUOTA_CONNECT);
	*ret_kind = (enum quota_kind)kind;
	*ret_rate = 0;
	if (good && value.ptr) {
		version = read_u8(&v);
		uint64_t bits = (uint64_t)read_i64_be(&v);
		memcpy(ret_rate, &bits, sizeof(bits));
		good = !v.bad && version == ROW_VERSION && *ret_rate > 0;
	}
	return good ? ERR_OK : err_note(ERR_CORRUPT, "quota of %zu bytes", key.len);
}

/* ---- the table ------------------------------------------------------------------------------- */

const struct quota *quota_at(const struct quotas *q, const struct quota_entity *who)
{
	uint8_t key[2 * (2 + QUOTA_NAME_MAX)];
	return map_get(&q->at, bytes_of(key, put_entity(key, who)));
}

static enum err quota_make(
    struct quotas *q, const struct quota_entity *who, struct quota **ret_quota)
{
	struct quota *at = (struct quota *)(uintptr_t)quota_at(q, who);
	*ret_quota = at;
	if (at)
		return ERR_OK;
	at = mem_calloc(1, sizeof(*at));
	if (!at)
		return ERR_NOMEM;
	at->key_len = put_entity(at->key, who);
	struct reader r = reader_of(bytes_of(at->key, at->key_len));
	bool good = read_half(&r, &at->who.user_is, &at->who.user) &&
	            read_half(&r, &at->who.client_is, &at->who.client);
	ASSERT(good);
	enum err err = map_put(&q->at, bytes_of(at->key, at->key_len), at);
	if (err != ERR_OK) {
		mem_free(at);
		return err;
	}
	*ret_quota = at;
	return ERR_OK;
}

static void buckets_clear(struct quotas *q)
{
	struct quota_bucket *b;
	size_t cursor = 0;
	while ((b = map_next(&q->buckets, &cursor))) {
		(void)map_remove(&q->buckets, bytes_of(b->key, b->key_len));
		mem_free(b);
	}
}

static enum err apply(
    void *ctx, int32_t partition, struct bytes key, struct bytes value, int64_t timestamp_ms)
{
	struct quotas *q = ctx;
	struct quota_entity who;
	struct quota *at;
	enum quota_kind kind = QUOTA_PRODUCE;
	double rate = 0;
	(void)partition;
	(void)timestamp_ms;
	TRY(row_read(key, value, &kind, &who, &rate));
	if (rate == 0 && !quota_at(q, &who))
		return ERR_OK;
	TRY(quota_make(q, &who, &at));
	q->set[kind] += (size_t)(rate > 0);
	q->set[kind] -= (size_t)(at->rate[kind] > 0);
	at->rate[kind] = rate;
	double any = 0;
	for (int k = 0; k < QUOTA_KINDS; k++)
		any += at->rate[k];
	if (any == 0) {
		(void)map_remove(&q->at, bytes_of(at->key, at->key_len));
		mem_free(at);
	}
	if (q->at.count == 0)
		buckets_clear(q);
	return ERR_OK;
}

static void snapshot(void *ctx, int32_t partition,
    void (*emit)(void *emit_ctx, struct bytes key, struct bytes value), void *emit_ctx)
{
	const struct quotas *q = ctx;
	const struct quota *at;
	struct writer key, value;
	size_t cursor = 0;
	(void)partition;
	writer_init(&key, 64 * KIB);
	writer_init(&value, 64 * KIB);
	while ((at = map_next(&q->at, &cursor)))
		for (int kind = 0; kind < QUOTA_KINDS; kind++) {
			if (at->rate[kind] == 0)
				continue;
			writer_clear(&key);
			writer_clear(&value);
			quota_row_key(&key, (enum quota_kind)kind, &at->who);
			quota_row_value(&value, at->rate[kind]);
			ASSERT(key.err == ERR_OK && value.err == ERR_OK);
			emit(emit_ctx, writer_bytes(&key), writer_bytes(&value));
		}
	writer_release(&key);
	writer_release(&value);
}

enum err quotas_open(struct log *log, struct quotas **ret_quotas)
{
	static const struct log_table_ops ops = {.apply = apply, .snapshot = snapshot};
	struct quotas *q = mem_calloc(1, sizeof(*q));
	if (!q)
		return ERR_NOMEM;
	map_init(&q->at);
	map_init(&q->buckets);
	enum err err = log_table_open(log, STR("__kappa_quotas"), 1, &ops, q, &q->table);
	if (err != ERR_OK) {
		quotas_close(q);
		return err;
	}
	*ret_quotas = q;
	return ERR_OK;
}

void quotas_close(struct quotas *q)
{
	struct quota *at;
	size_t cursor = 0;
	if (!q)
		return;
	if (q->table)
		log_table_close(q->table);
	while ((at = map_next(&q->at, &cursor)))
		mem_free(at);
	map_release(&q->at);
	buckets_clear(q);
	map_release(&q->buckets);
	mem_free(q);
}

/* ---- which one holds ------------------------------------------------------------------------- */

static const struct quota *quota_of_address(const struct quotas *q, struct str host)
{
	struct quota_entity one = {QUOTA_ADDRESS, QUOTA_ABSENT, host, {NULL, 0}};
	struct quota_entity others = {.user_is = QUOTA_ADDRESS_DEFAULT};
	const struct quota *at = quota_at(q, &one);
	return at ? at : quota_at(q, &others);
}

const struct quota *quota_of(
    const struct quotas *q, enum quota_kind kind, struct str user, struct str client)
{
	if (kind == QUOTA_CONNECT)
		return quota_of_address(q, user);
	static const enum quota_who order[][2] = {
	    {QUOTA_NAMED, QUOTA_NAMED},
	    {QUOTA_NAMED, QUOTA_DEFAULT},
	    {QUOTA_NAMED, QUOTA_ABSENT},
	    {QUOTA_DEFAULT, QUOTA_NAMED},
	    {QUOTA_DEFAULT, QUOTA_DEFAULT},
	    {QUOTA_DEFAULT, QUOTA_ABSENT},
	    {QUOTA_ABSENT, QUOTA_NAMED},
	    {QUOTA_ABSENT, QUOTA_DEFAULT},
	};
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		struct quota_entity who = {order[i][0], order[i][1], user, client};
		bool nameless =
		    (who.user_is == QUOTA_NAMED && (user.len == 0 || user.len > QUOTA_NAME_MAX)) ||
		    (who.client_is == QUOTA_NAMED &&
		        (client.len == 0 || client.len > QUOTA_NAME_MAX));
		const struct quota *at = nameless ? NULL : quota_at(q, &who);
		if (at && at->rate[kind] > 0)
			return at;
	}
	return NULL;
}

/* ---- buckets --------------------------------------------------------------------------------- */

static void bucket_fill(struct quota_bucket *b, int64_t now_ns)
{
	int64_t windows = now_ns / QUOTA_WINDOW_NS - b->at_ns / QUOTA_WINDOW_NS;
	b->tokens += b->rate * (double)(now_ns - b->at_ns) / (double)S_NS;
	b->tokens = b->tokens < b->most ? b->tokens : b->most;
	b->at_ns = now_ns;
	if (windows > 0) {
		b->came[1] = windows == 1 ? b->came[0] : 0;
		b->came[0] = 0;
	}
	double recent = b->came[0] + b->came[1];
	if (quota_specs[b->key[0]].forgets && b->tokens < -recent)
		b->tokens = -recent;
}

/* Drops those that are full: a new one would be the same. */
static void buckets_sweep(struct quotas *q, int64_t now_ns)
{
	struct quota_bucket *b;
	size_t cursor = 0;
	while ((b = map_next(&q->buckets, &cursor))) {
		bucket_fill(b, now_ns);
		if (b->tokens < b->most)
			continue;
		(void)map_remove(&q->buckets, bytes_of(b->key, b->key_len));
		mem_free(b);
	}
}

/* NULL: no memory. */
static struct quota_bucket *bucket_at(
    struct quotas *q, struct bytes key, double most, int64_t now_ns)
{
	struct quota_bucket *b = map_get(&q->buckets, key);
	if (b)
		return b;
	b = mem_calloc(1, sizeof(*b) + key.len);
	if (!b)
		return NULL;
	b->tokens = most;
	b->at_ns = now_ns;
	b->key_len = key.len;
	memcpy(b->key, key.ptr, key.len);
	if (map_put(&q->buckets, bytes_of(b->key, b->key_len), b) != ERR_OK) {
		mem_free(b);
		return NULL;
	}
	return b;
}

static struct quota_bucket *bucket_of(struct quotas *q, enum quota_kind kind,
    const struct quota *at, struct str user, struct str client, int64_t now_ns)
{
	struct quota_entity who = {quota_who_is_address(at->who.user_is) ? QUOTA_ADDRESS
	                           : at->who.user_is == QUOTA_ABSENT     ? QUOTA_ABSENT
	                                                                 : QUOTA_NAMED,
	    at->who.client_is == QUOTA_ABSENT ? QUOTA_ABSENT : QUOTA_NAMED, user, client};
	uint8_t key[1 + 2 * (2 + QUOTA_NAME_MAX)] = {(uint8_t)kind};
	struct bytes mine = bytes_of(key, 1 + put_entity(key + 1, &who));
	double rate = at->rate[kind] * quota_specs[kind].amount;
	double most = rate * quota_specs[kind].burst_s;
	bool known = map_get(&q->buckets, mine) != NULL;
	if (!known && q->buckets.count >= QUOTA_BUCKETS_MAX)
		buckets_sweep(q, now_ns);
	if (!known && q->buckets.count >= QUOTA_BUCKETS_MAX)
		mine = bytes_of(key, 1 + put_entity(key + 1, &at->who));
	struct quota_bucket *b = bucket_at(q, mine, most, now_ns);
	if (b) {
		b->rate = rate;
		b->most = most;
		bucket_fill(b, now_ns);
	}
	return b;
}

/* NULL: without a quota, or, with *ret_none false, no memory. */
static struct quota_bucket *bucket_find(struct quotas *q, enum quota_kind kind,
    const struct quota_entity *who, int64_t now_ns, bool *ret_none)
{
	const struct quota *at =
	    q->set[kind] > 0 ? quota_of(q, kind, who->user, who->client) : NULL;
	*ret_none = !at;
	return at ? bucket_of(q, kind, at, who->user, who->client, now_ns) : NULL;
}

/* Until it holds `tokens`. */
static int64_t bucket_wait_ns(const struct quota_bucket *b, double tokens)
{
	double wait_ns = (tokens - b->tokens) / b->rate * (double)S_NS;
	int64_t most_ns = quota_specs[b->key[0]].wait_max_ns;
	return wait_ns < (double)most_ns ? (int64_t)wait_ns + 1 : most_ns;
}

int64_t quota_charge(struct quotas *q, enum quota_kind kind, struct str user, struct str client,
    double amount, int64_t now_ns)
{
	const struct quota_entity who = {.user = user, .client = client};
	bool none;
	struct quota_bucket *b = bucket_find(q, kind, &who, now_ns, &none);
	if (!b)
		return none ? 0 : S_NS; /* no memory: nobody gets more for that */
	b->tokens -= amount;
	b->came[0] += amount;
	return b->tokens >= 0 ? 0 : bucket_wait_ns(b, 0);
}

size_t quota_room(struct quotas *q, enum quota_kind kind, struct str user, struct str client,
    int64_t now_ns, int64_t *ret_wait_ns)
{
	const struct quota_entity who = {.user = user, .client = client};
	bool none;
	const struct quota_bucket *b = bucket_find(q, kind, &who, now_ns, &none);
	if (none || (b && b->tokens >= (double)(SIZE_MAX / 2)))
		return SIZE_MAX;
	if (b && b->tokens >= 1)
		return (size_t)b->tokens;
	*ret_wait_ns = b ? bucket_wait_ns(b, 1) : S_NS;
	return 0;
}

enum err quota_connect(struct quotas *q, struct str host, int64_t now_ns, int64_t *ret_wait_ns)
{
	const struct str none = {NULL, 0};
	int64_t wait_ns = quota_charge(q, QUOTA_CONNECT, host, none, 1, now_ns);
	if (wait_ns > QUOTA_CONNECT_WAIT_NS) {
		(void)quota_charge(q, QUOTA_CONNECT, host, none, -1, now_ns);
		return err_note(ERR_LIMIT, "connection_creation_rate of " STR_FMT, STR_ARG(host));
	}
	*ret_wait_ns = wait_ns;
	return ERR_OK;
}

/* ---- clients --------------------------------------------------------------------------------- */

static struct str user_of(const struct request *req)
{
	struct str user = conn_principal(req->conn);
	return user.len > 5 ? str_from(user.ptr + 5, user.len - 5) : user; /* "User:" */
}

static void rest(struct request *req, int64_t now_ns, int64_t wait_ns)
{
	int32_t wait_ms = (int32_t)((wait_ns + MS_NS - 1) / MS_NS);
	if (wait_ms > req->throttle_ms)
		req->throttle_ms = wait_ms;
	conn_rest(req->conn, now_ns + wait_ns);
}

bool request_charge(struct request *req, enum quota_kind kind, double amount)
{
	int64_t now_ns = loop_now_ns(req->loop);
	int64_t wait_ns =
	    quota_charge(req->broker->quotas, kind, user_of(req), req->client_id, amount, now_ns);
	if (wait_ns > 0)
		rest(req, now_ns, wait_ns);
	return wait_ns == 0;
}

size_t request_room(struct request *req, enum quota_kind kind)
{
	int64_t now_ns = loop_now_ns(req->loop), wait_ns = 0;
	size_t room =
	    quota_room(req->broker->quotas, kind, user_of(req), req->client_id, now_ns, &wait_ns);
	if (room == 0)
		rest(req, now_ns, wait_ns);
	return room;
}
