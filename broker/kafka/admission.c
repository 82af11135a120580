/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/kafka/admission.h"
#include "broker/kafka/server.h"

struct admission_peer {
	uint32_t count;
	char host[];
};

void admission_init(struct admission *a)
{
	map_init(&a->peers);
	list_init(&a->strangers);
	a->stranger_count = 0;
}

void admission_release(struct admission *a)
{
	ASSERT(a->peers.count == 0 && list_empty(&a->strangers));
	map_release(&a->peers);
}

enum admission_verdict admission_has_room(struct broker *b, bool stranger)
{
	const struct broker_options *o = &b->options;
	struct admission *a = &b->admission;
	bool full = b->conn_count >= o->connections_max;
	if (!full && (!stranger || a->stranger_count < o->strangers_max))
		return ADMISSION_YES;
	LIST_EACH (&a->strangers, n, tmp) {
		struct conn *c = CONTAINER_OF(n, struct conn, stranger);
		if (conn_is_decided(c))
			continue;
		conn_close(c, ERR_LIMIT, "others want to come in, and it has not said who it is");
		return ADMISSION_YES;
	}
	return list_empty(&a->strangers) ? ADMISSION_NO : ADMISSION_WAIT;
}

void admission_heard(struct conn *c)
{
	if (!list_linked(&c->stranger))
		return;
	list_remove(&c->stranger);
	list_push_back(&c->broker->admission.strangers, &c->stranger);
}

/* Counted even where there is no limit: one may be set while the server runs. */
static enum err count_peer(struct conn *c)
{
	struct broker *b = c->broker;
	struct str host = str_of(c->peer.host);
	if (host.len == 0)
		return ERR_OK;
	struct admission_peer *p = map_get(&b->admission.peers, str_bytes(host));
	if (p && p->count >= b->options.connections_per_ip_max)
		return err_note(ERR_LIMIT, "%u connections from %s", p->count, c->peer.host);
	if (!p) {
		p = mem_calloc(1, sizeof(*p) + host.len + 1);
		if (!p)
			return ERR_NOMEM;
		memcpy(p->host, host.ptr, host.len);
		if (map_put(&b->admission.peers, str_bytes(str_of(p->host)), p) != ERR_OK) {
			mem_free(p);
			return ERR_NOMEM;
		}
	}
	p->count++;
	c->counted = p;
	return ERR_OK;
}

enum err admission_enter(struct conn *c)
{
	TRY(count_peer(c));
	if (c->admitted)
		return ERR_OK;
	list_push_back(&c->broker->admission.strangers, &c->stranger);
	c->broker->admission.stranger_count++;
	return ERR_OK;
}

void admission_known(struct conn *c)
{
	if (!list_linked(&c->stranger))
		return;
	list_remove(&c->stranger);
	c->broker->admission.stranger_count--;
}

void admission_leave(struct conn *c)
{
	struct admission_peer *p = c->counted;
	admission_known(c);
	c->counted = NULL;
	if (!p || --p->count > 0)
		return;
	map_remove(&c->broker->admission.peers, str_bytes(str_of(p->host)));
	mem_free(p);
}
