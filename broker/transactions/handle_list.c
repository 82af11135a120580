/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ListTransactions. A pattern may take 10,000 steps for each of 100,000 ids: all listings together
 * have a millisecond of a turn of the loop (LIST_SLICE_NS), and take turns. A listing has a place
 * in ts->all (transaction_free moves it on), so ids come and go between its slices: it has what was
 * there from its start to its end, and of the rest what it comes by.
 */
#include "broker/auth/access.h"
#include "handlers.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static const int64_t LIST_SLICE_NS = MS_NS;
enum {
	LIST_LOOKS = 16,
	MATCH_LIMIT = 10000,
	PATTERN_MAX = 1024
}; /* ids between looks at a clock */

struct found {
	struct found *next;
	struct list_transactions_response_transaction out; /* its id behind it */
};

struct listing {
	struct transactions_place place;
	struct request *req;
	struct asked_words states;
	int64_t now_ms;
	pcre2_code *pattern; /* NULL = any */
	pcre2_match_data *match;
	pcre2_match_context *limits;
	struct found *first, **last;
	size_t count;
	bool gone, failed;
};

/* ---- what is asked for ----------------------------------------------------------------------- */

static bool matches_pattern(const struct listing *l, struct str id)
{
	return !l->pattern || pcre2_match(l->pattern, (PCRE2_SPTR)id.ptr, id.len, 0,
	                          PCRE2_ANCHORED | PCRE2_ENDANCHORED, l->match, l->limits) >= 0;
}

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static bool passes(struct listing *l, const struct transaction *t)
{
	const struct list_transactions_request *body = l->req->body;
	uint32_t ids = body->producer_id_filters.count;
	bool state = asked_word(&l->states, transaction_state_name(t->row.state));
	bool producer = ids == 0 || bsearch(&t->row.producer_id, body->producer_id_filters.at, ids,
	                                sizeof(int64_t), by_id);
	bool open = t->row.state == TRANSACTION_ONGOING;
	bool old = body->duration_filter < 0 ||
	           (open && l->now_ms - t->row.start_ms > body->duration_filter);
	return t->stored && state && producer && old && request_coordinates(l->req, t->id) &&
	       matches_pattern(l, t->id) && access_transactional_id(l->req, t->id) == ERR_OK;
}

static bool is_state(struct str name)
{
	for (int s = TRANSACTION_EMPTY; s <= TRANSACTION_COMPLETE_ABORT; s++)
		if (str_equal(name, str_of(transaction_state_name((enum transaction_state)s))))
			return true;
	return str_equal(name, STR("Dead")) || str_equal(name, STR("PrepareEpochFence"));
}

static bool fill_unknown(struct request *req)
{
	const struct list_transactions_request *body = req->body;
	struct list_transactions_response *r = req->response;
	struct str *unknown =
	    request_alloc(req, (body->state_filters.count + 1) * sizeof(struct str));
	if (!unknown)
		return false;
	r->unknown_state_filters.at = unknown;
	for (uint32_t i = 0; i < body->state_filters.count; i++)
		if (!is_state(body->state_filters.at[i]))
			unknown[r->unknown_state_filters.count++] = body->state_filters.at[i];
	return true;
}

/* KIP-1152 has RE2; what is asked here is the same in both. False: not a pattern. */
static bool open_pattern(struct listing *l, struct str pattern)
{
	int error;
	PCRE2_SIZE at;
	if (pattern.len == 0)
		return true;
	if (pattern.len > PATTERN_MAX)
		return false;
	l->pattern =
	    pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, PCRE2_UTF, &error, &at, NULL);
	l->match = l->pattern ? pcre2_match_data_create_from_pattern(l->pattern, NULL) : NULL;
	l->limits = pcre2_match_context_create(NULL);
	if (!l->match || !l->limits)
		return false;
	pcre2_set_match_limit(l->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(l->limits, MATCH_LIMIT);
	return true;
}

/* ---- answer ---------------------------------------------------------------------------------- */

/* What was found, in one array. */
static bool fill_list(struct listing *l)
{
	struct list_transactions_response *r = l->req->response;
	r->transaction_states.at =
	    request_new(l->req, &list_transactions_response_transaction_shape, l->count);
	if (!r->transaction_states.at)
		return false;
	for (const struct found *f = l->first; f; f = f->next)
		r->transaction_states.at[r->transaction_states.count++] = f->out;
	return true;
}

static void end(struct listing *l)
{
	struct request *req = l->req;
	list_remove(&l->place.node);
	pcre2_match_context_free(l->limits);
	pcre2_match_data_free(l->match);
	pcre2_code_free(l->pattern);
	req->closed = NULL;
	if (!l->failed && (l->gone || fill_list(l)))
		request_answer(req); /* nothing is sent to one that is gone */
	else
		request_fail(req, ERR_LIMIT);
}

static void on_closed(struct request *req)
{
	struct listing *l = req->user;
	l->gone = true;
	end(l);
}

/* ---- slices ---------------------------------------------------------------------------------- */

static void look(struct listing *l, const struct transaction *t)
{
	if (!passes(l, t))
		return;
	struct found *f = request_alloc(l->req, sizeof(*f) + t->id.len);
	if (!f) {
		l->failed = true;
		return;
	}
	memcpy(f + 1, t->id.ptr, t->id.len); /* it may be gone when this is answered */
	f->out = (struct list_transactions_response_transaction){
	    .transactional_id = str_from(f + 1, t->id.len),
	    .producer_id = t->row.producer_id,
	    .transaction_state = str_of(transaction_state_name(t->row.state))};
	*l->last = f;
	l->last = &f->next;
	l->count++;
}

/* True at the end. */
static bool look_at_some(struct listing *l)
{
	const struct list *all = &l->place.all->all;
	for (int i = 0; i < LIST_LOOKS && l->place.next != &all->head && !l->failed; i++) {
		const struct transaction *t = CONTAINER_OF(l->place.next, struct transaction, node);
		l->place.next = l->place.next->next;
		look(l, t);
	}
	return l->failed || l->place.next == &all->head;
}

static void on_listing(struct mail *mail)
{
	struct transactions *ts = CONTAINER_OF(mail, struct transactions, listing);
	struct io *io = loop_io(ts->loop);
	int64_t until = io_clock_ns(io, IO_CLOCK_MONOTONIC) + LIST_SLICE_NS;
	struct list_node *n;
	ts->listing_posted = false;
	while ((n = list_pop_front(&ts->places))) {
		struct transactions_place *place = CONTAINER_OF(n, struct transactions_place, node);
		struct listing *l = CONTAINER_OF(place, struct listing, place);
		if (look_at_some(l))
			end(l);
		else
			list_push_back(&ts->places, &place->node);
		if (io_clock_ns(io, IO_CLOCK_MONOTONIC) >= until)
			break;
	}
	if (list_empty(&ts->places))
		return;
	ts->listing_posted = true;
	loop_defer(ts->loop, &ts->listing);
}

static void start(struct listing *l)
{
	struct transactions *ts = l->place.all;
	l->place.next = ts->all.head.next;
	l->req->user = l;
	l->req->closed = on_closed;
	list_push_back(&ts->places, &l->place.node);
	if (ts->listing_posted)
		return;
	ts->listing.run = on_listing;
	on_listing(&ts->listing);
}

void handle_list_transactions(struct request *req)
{
	const struct list_transactions_request *body = req->body;
	struct list_transactions_response *r = req->response;
	struct listing *l = request_alloc(req, sizeof(*l));
	if (!l || !fill_unknown(req)) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	l->req = req;
	l->place.all = req->broker->transactions;
	l->states =
	    (struct asked_words){.at = body->state_filters.at, .count = body->state_filters.count};
	l->now_ms = transactions_wall_ms(req->broker->transactions);
	l->last = &l->first;
	list_node_init(&l->place.node);
	if (body->producer_id_filters.count > 0)
		qsort(body->producer_id_filters.at, body->producer_id_filters.count,
		    sizeof(int64_t), by_id);
	if (open_pattern(l, body->transactional_id_pattern)) {
		start(l);
		return;
	}
	r->error_code = 128; /* INVALID_REGULAR_EXPRESSION */
	end(l);
}
