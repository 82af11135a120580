/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which brokers a client sees, and which of them leads what. There is one, unless test suites asked
 * for more (broker_options.test_brokers): then each listener of one protocol is a broker, numbered
 * in their order. All of them are this process and do whatever they are asked; partitions, groups
 * and transactional ids are only dealt out among them, always in the same way, so that a client
 * behaves as with a cluster. What a client collects from every broker, each tells of its own share.
 */
#include "broker/kafka/handlers.h"
#include "log/batch.h"

static bool is_node(const struct listener *l, const struct listener *of)
{
	bool more = l->broker->options.test_brokers && l->framing == SP_NONE;
	return l == of || (more && l->options.protocol == of->options.protocol);
}

static struct endpoint endpoint_of(const struct request *req, const struct listener *l)
{
	const struct broker_listener *o = &l->options;
	const struct io_address *local = &req->conn->local;
	struct endpoint e = {str_of(o->advertised_host), o->advertised_port};
	if (!o->advertised_host)
		e.host = str_of(local->host[0] ? local->host : "127.0.0.1");
	if (e.port == 0)
		e.port = l == conn_listener(req->conn) && local->port ? local->port : l->port;
	return e;
}

struct endpoint request_endpoint(const struct request *req)
{
	return endpoint_of(req, conn_listener(req->conn));
}

int32_t request_node(const struct request *req)
{
	return conn_listener(req->conn)->node_id;
}

uint32_t request_node_count(const struct request *req)
{
	const struct listener *here = conn_listener(req->conn);
	uint32_t count = 0;
	for (size_t i = 0; i < req->broker->listener_count; i++)
		count += is_node(&req->broker->listeners[i], here);
	return count;
}

enum err request_check_brokers(const struct request *req, const int32_t *ids, uint32_t count)
{
	int64_t first = req->broker->options.node_id, end = first + request_node_count(req);
	uint32_t known = 0;
	for (uint32_t i = 0; i < count; i++) {
		bool here = ids[i] >= first && ids[i] < end;
		known += here;
		if (ids[i] < 0 || (!here && req->broker->options.test_brokers))
			return err_note(ERR_INVALID_ASSIGNMENT, "there is no broker %d", ids[i]);
	}
	return known > 0 ? ERR_OK
	                 : err_note(ERR_INVALID_ASSIGNMENT, "none of its brokers is there");
}

bool request_names_broker(const struct request *req, struct str name)
{
	int64_t id, first = req->broker->options.node_id;
	return name.len == 0 || (str_to_i64(name, &id) && id >= first &&
	                            id < first + (int64_t)request_node_count(req));
}

bool request_nodes(struct request *req, struct nodes *ret_nodes)
{
	const struct listener *here = conn_listener(req->conn);
	struct nodes n = {.count = request_node_count(req)};
	n.at = request_alloc(req, n.count * sizeof(*n.at));
	n.ring = request_alloc(req, 2 * (size_t)n.count * sizeof(*n.ring));
	if (!n.at || !n.ring)
		return false;
	uint32_t k = 0;
	for (size_t i = 0; i < req->broker->listener_count; i++) {
		const struct listener *l = &req->broker->listeners[i];
		if (!is_node(l, here))
			continue;
		n.ring[k] = n.ring[k + n.count] = l->node_id;
		n.at[k++] = (struct node){l->node_id, endpoint_of(req, l)};
	}
	*ret_nodes = n;
	return true;
}

/* The same after a restart. */
static uint32_t share_of(struct str name, uint32_t count)
{
	return count > 1 ? crc32c(str_bytes(name)) % count : 0;
}

int32_t *nodes_copies(const struct nodes *n, const struct log_topic *t, int32_t partition)
{
	return &n->ring[(share_of(t->name, n->count) + (uint32_t)partition) % n->count];
}

const struct node *nodes_coordinator(const struct nodes *n, struct str key)
{
	return &n->at[share_of(key, n->count)];
}

bool request_coordinates(const struct request *req, struct str key)
{
	const struct listener *here = conn_listener(req->conn);
	uint32_t share = share_of(key, request_node_count(req));
	return request_node(req) == here->broker->options.node_id + (int32_t)share;
}
