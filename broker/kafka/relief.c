/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that others wait for is given back by ending those who burden the server most. */
#include "broker/kafka/server.h"

enum { PASSES = 8, PART = 4 }; /* of one pass: who burdens it a quarter as much as the worst */

static double worst_burden(const struct broker *b, const struct relief *r, int64_t now)
{
	double worst = 0;
	LIST_EACH (&b->conns, n, tmp) {
		double x = r->burden(CONTAINER_OF(n, struct conn, node), now);
		worst = x > worst ? x : worst;
	}
	return worst;
}

size_t relief_give(struct broker *b, const struct relief *r)
{
	int64_t now = loop_now_ns(b->loop);
	size_t freed = 0, ended = 0;
	for (int pass = 0; pass < PASSES && freed < r->want; pass++) {
		double worst = worst_burden(b, r, now);
		if (worst <= 0)
			break;
		LIST_EACH (&b->conns, n, tmp) {
			struct conn *c = CONTAINER_OF(n, struct conn, node);
			if (freed >= r->want || r->burden(c, now) < worst / PART)
				continue;
			freed += r->held(c);
			ended++;
			conn_close(c, ERR_TIMEOUT, r->reason);
		}
	}
	return ended;
}
